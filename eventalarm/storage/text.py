"""What text must become before every supported database stores it and finds it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

KEY_LENGTH: Final = 255
AODH_TEXT_LENGTH: Final = 8000
DIGEST_LENGTH: Final = 32
EVENT_LENGTH: Final = 1024 * 1024


def clean(text: str) -> str:
    """Replace what UTF-8 or PostgreSQL cannot hold: lone surrogates and NUL."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def key(text: str) -> str:
    """Return *text* as an indexed key: at most 255 characters, still distinct for distinct long texts.

    Trailing blanks go, since MySQL takes "a" and "a " for equal.
    """
    text = clean(text).rstrip()
    if len(text) <= KEY_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{text[: KEY_LENGTH - DIGEST_LENGTH - 1]}~{digest}"


def for_aodh(text: str) -> str:
    """Return *text* as Aodh's own text columns can hold it: three-byte UTF-8, 64 KiB with JSON escapes."""
    text = clean(text)
    if not text.isascii():
        text = "".join(c if ord(c) <= 0xFFFF else "\ufffd" for c in text)
    return text if len(text) <= AODH_TEXT_LENGTH else text[: AODH_TEXT_LENGTH - 1] + "…"


def event_json(body: Mapping[str, Any], limit: int = EVENT_LENGTH, whole: str = "") -> str:
    """Return an event as JSON of at most *limit* characters; see :func:`bounded_event`."""
    return bounded_event(body, limit, whole)[0]


def bounded_event(body: Mapping[str, Any], limit: int = EVENT_LENGTH, whole: str = "") -> tuple[str, bool]:
    """Return an event as JSON of at most *limit* characters, and whether that is all of it.

    So no packet limit can refuse it. What is too long loses its ``raw`` part first, then its traits;
    ``truncated`` then names what is missing. *whole* is *body* as JSON, where that is known.
    """
    whole = whole or json.dumps(body)
    if len(whole) <= limit:
        return whole, True
    without_raw = json.dumps({**body, "raw": {}, "truncated": ["raw"]})
    if len(without_raw) <= limit:
        return without_raw, False
    kept = {name: str(body.get(name))[:KEY_LENGTH] for name in ("message_id", "event_type", "generated")}
    return json.dumps({**kept, "traits": [], "raw": {}, "truncated": ["raw", "traits"]}), False
