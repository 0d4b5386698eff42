"""One page of the web. Loaded when something is asked: Python's own HTTP takes as long to load as the rest of a warm start."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

_SECONDS = 15.0  # for one page


def fetch_page(url: str, *, head: bool = False) -> bytes:
    """Return what stands at an address; proxies and certificates are those of the environment's variables.

    Raises:
        LookupError: there is nothing, or nobody answers.
    """
    host = urlsplit(url).hostname or url
    request = urllib.request.Request(url, method="HEAD" if head else "GET", headers={"User-Agent": "kanoe"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the addresses are of our tables
            return bytes(answer.read())
    except urllib.error.HTTPError as cause:
        with cause:
            raise LookupError(f"{host} answers {cause.code} {cause.reason}") from cause
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "reason", None) or cause
        raise LookupError(f"{host} does not answer: {getattr(reason, 'strerror', None) or reason}") from cause
