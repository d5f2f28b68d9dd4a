"""``IDENTITY=header``: a proxy in front has signed the user in, and says who it is."""

import ipaddress

from fastapi import Request, Response

from app.auth.user_ids import accept_user_id
from app.settings import Settings, SettingsError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HeaderIdentity:
    """Takes the user id from a header, if the connection comes from a trusted proxy.

    The address is that of the connection itself; ``X-Forwarded-For`` plays no part.
    """

    def __init__(self, header: str, trusted: list[Network]) -> None:
        self._header = header
        self._trusted = trusted

    async def identify(self, request: Request, response: Response) -> str | None:
        """Return the user in the header; None from elsewhere, or where it is sent twice."""
        values = request.headers.getlist(self._header)
        if len(values) != 1 or request.client is None or not self._trusts(request.client.host):
            return None
        return accept_user_id(values[0].strip())

    def _trusts(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


def create_header_identity(settings: Settings) -> HeaderIdentity:
    """Return the identity that believes ``TRUSTED_PROXIES``; raises ``SettingsError``."""
    if problems := settings.inconsistencies():
        raise SettingsError("; ".join(problems))
    try:
        trusted = [ipaddress.ip_network(each) for each in settings.trusted_proxies]
    except ValueError as error:
        raise SettingsError(f"TRUSTED_PROXIES: {error}") from None
    return HeaderIdentity(settings.identity_header, trusted)
