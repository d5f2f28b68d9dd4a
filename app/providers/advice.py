"""What an operator should set: one line in the log for a failure that a setting would prevent.

The words of the provider are left out, since they name keys, accounts and what users wrote.
"""

import logging

from app.chatkit.agents.provider_errors import ProviderErrorKind, Refusal
from app.chatkit.agents.refusals import SetupFault, find_setup_fault

Kind = ProviderErrorKind

logger = logging.getLogger(__name__)

_FAULTS = {
    SetupFault.KEY: "it does not take the key; set OPENAI_API_KEY to one that it takes",
    SetupFault.QUOTA: (
        "the account has no credit or quota left; top it up, or set OPENAI_API_KEY to a key of "
        "another one"
    ),
    SetupFault.MODEL: (
        "it has no such model; set ASSISTANT_MODEL (and TITLE_MODEL) to one that it has, which is "
        "the name of a deployment at Azure"
    ),
}
_FAULTS_BY_STATUS = {401: SetupFault.KEY, 402: SetupFault.QUOTA, 403: SetupFault.KEY}
_NO_SUCH_API = (
    "there is no such API; set OPENAI_BASE_URL to its address (most end in /v1), and MODEL_API to "
    "what it speaks (responses or chat_completions)"
)
_OTHERWISE = (
    "it does not take what is sent; check that ASSISTANT_MODEL can call tools, and whether "
    "MODEL_API should be the other one ('python -m app try-model' shows what works)"
)
_KINDS: dict[ProviderErrorKind, str] = {
    Kind.CONNECTION: (
        "it cannot be reached; check OPENAI_BASE_URL, and HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE "
        "where it is behind a proxy or has a certificate of your own"
    ),
    Kind.TIMEOUT: "it was silent for too long; MODEL_TIMEOUT says how long it may be",
    Kind.CONTEXT_TOO_LONG: (
        "a conversation is longer than it takes; set HISTORY_ITEMS lower, or give the model more "
        "context"
    ),
}


def log_refusal(refusal: Refusal, *, model: str, address: str) -> None:
    """Log what to set, where that would help; ``address`` is the provider's host and port."""
    is_setup = refusal.kind is Kind.MISCONFIGURED
    advice = _advise(refusal) if is_setup else _KINDS.get(refusal.kind)
    if advice is None:
        return
    logger.log(
        logging.ERROR if is_setup else logging.WARNING,
        "No answer from the model: %s",
        advice,
        extra={"model": model, "provider": address, "status_code": refusal.status},
    )


def _advise(refusal: Refusal) -> str:
    fault = find_setup_fault(refusal.text) or _FAULTS_BY_STATUS.get(refusal.status or 0)
    if fault is not None:
        return _FAULTS[fault]
    return _NO_SUCH_API if refusal.status in (404, 405) else _OTHERWISE
