"""What can be a user id."""

MAX_USER_ID_LENGTH = 256


def accept_user_id(value: object) -> str | None:
    """Return ``value`` if it can be a user id: a text that is not empty, too long or binary."""
    if isinstance(value, str) and 0 < len(value) <= MAX_USER_ID_LENGTH and value.isprintable():
        return value
    return None
