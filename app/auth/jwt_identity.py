"""``IDENTITY=jwt``: a token of the integrator's identity provider says who is calling."""

import logging
from typing import Any

import jwt
from fastapi import Request, Response
from jwt import PyJWK
from jwt.algorithms import get_default_algorithms

from app.auth.jwks import JwksKeys
from app.auth.user_ids import accept_user_id
from app.settings import Settings, SettingsError

PUBLIC_KEY_ALGORITHMS = ("RS256", "ES256")
SHARED_SECRET_ALGORITHMS = ("HS256",)
MAX_TOKEN_LENGTH = 16_384

logger = logging.getLogger("app.identity")


class JwtIdentity:
    """Takes the user id from a claim of the token in ``Authorization: Bearer``.

    ``keys`` is a shared secret, or where the public keys are. A signature counts only if its
    algorithm is one of ``algorithms``; what the token itself says of keys and algorithms is never
    believed.
    """

    def __init__(
        self,
        keys: JwksKeys | str,
        *,
        algorithms: tuple[str, ...],
        issuer: str | None = None,
        audience: str | None = None,
        user_claim: str = "sub",
        leeway: float = 30.0,
    ) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._issuer = issuer
        self._audience = audience
        self._user_claim = user_claim
        self._leeway = leeway

    async def identify(self, request: Request, response: Response) -> str | None:
        """Return the token's user; None for a token that is missing, wrong or too old."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            claims = await self._decode(token.strip())
        except jwt.PyJWTError as error:
            logger.info("A token was refused", extra={"reason": type(error).__name__})
            return None
        return accept_user_id(claims.get(self._user_claim))

    async def _decode(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        key = await self._find_key(header.get("kid"))
        if key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(
            token,
            key,
            algorithms=self._algorithms,
            issuer=self._issuer,
            audience=self._audience,
            leeway=self._leeway,
            options={"require": ["exp"], "verify_aud": self._audience is not None},
        )

    async def _find_key(self, key_id: str | None) -> PyJWK | str | None:
        return self._keys if isinstance(self._keys, str) else await self._keys.find(key_id)


def create_jwt_identity(settings: Settings) -> JwtIdentity:
    """Return the identity that ``JWT_*`` describe; raises ``SettingsError``."""
    if problems := settings.inconsistencies():
        raise SettingsError("; ".join(problems))
    if settings.jwt_secret is not None:
        keys, usual = settings.jwt_secret.get_secret_value(), SHARED_SECRET_ALGORITHMS
    else:
        keys, usual = JwksKeys(settings.jwt_jwks_url or ""), PUBLIC_KEY_ALGORITHMS
    unknown = set(settings.jwt_algorithms) - set(get_default_algorithms())
    if unknown:
        raise SettingsError(f"JWT_ALGORITHMS: {', '.join(sorted(unknown))} is not known")
    return JwtIdentity(
        keys,
        algorithms=tuple(settings.jwt_algorithms) or usual,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        user_claim=settings.jwt_user_claim,
        leeway=settings.jwt_leeway,
    )
