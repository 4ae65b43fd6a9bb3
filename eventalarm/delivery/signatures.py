"""Signatures of webhooks as the Standard Webhooks specification 1.0.0 defines them. Pure.

``v1`` is an HMAC with the secret of a project, ``v1a`` an ed25519 signature with a key of the deployment.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from eventalarm.exceptions import InvalidOption

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - not a secret
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
# Bytes; the specification allows secrets of 24 to 64.
SECRET_LENGTH: Final = 32
KEY_LENGTH: Final = 32
# Seconds by which the time of a signature may differ from ours, as the specification suggests.
TOLERANCE: Final = 300
TIMESTAMP_DIGITS: Final = 12
MAX_SIGNATURES: Final = 8

OPTION: Final = "[eventalarm_delivery] signing_key"
REMEDY: Final = "its help says how to generate one"


def new_secret(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new secret in the form that consumers are given: ``whsec_`` and base64."""
    return SECRET_PREFIX + _base64(random(SECRET_LENGTH))


def secret_bytes(secret: str) -> bytes:
    """Return the bytes of a secret that :func:`new_secret` returned."""
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


class SigningKeys:
    """The ed25519 keys of the deployment, from the option ``signing_key``.

    :param text: private (``whsk_…``) and public (``whpk_…``) keys, separated by commas.
    :raises InvalidOption: when it holds something else.
    """

    def __init__(self, text: str = "") -> None:
        keys = list(filter(None, map(str.strip, text.split(","))))
        self._private = [_private(key) for key in keys if not key.startswith(PUBLIC_PREFIX)]
        public = [_bytes(key, PUBLIC_PREFIX) for key in keys if key.startswith(PUBLIC_PREFIX)]
        public += [key.public_key().public_bytes_raw() for key in self._private]
        self.public: tuple[str, ...] = tuple(dict.fromkeys(PUBLIC_PREFIX + _base64(key) for key in public))

    @property
    def can_sign(self) -> bool:
        """Return True if there is a private key."""
        return bool(self._private)

    def sign(self, content: bytes) -> list[str]:
        """Return the signature of *content* with each private key."""
        return [f"v1a,{_base64(key.sign(content))}" for key in self._private]


def signed_headers(
    message_id: str, timestamp: int, content: bytes, secrets: Iterable[bytes], keys: SigningKeys
) -> dict[str, str]:
    """Return the headers that sign *content*; none if there is neither a secret nor a private key.

    :param message_id: must not contain a full stop.
    :param timestamp: when this attempt is made, in seconds since 1970.
    """
    signed = f"{message_id}.{timestamp}.".encode() + content
    found = [f"v1,{_base64(hmac.digest(secret, signed, hashlib.sha256))}" for secret in secrets]
    found += keys.sign(signed)
    if not found:
        return {}
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(found),
    }


def is_signed(headers: Mapping[str, str], content: bytes, secrets: Iterable[bytes], now: float) -> bool:
    """Return True if one of *secrets* signed *content* at about *now*, by the headers of the specification.

    Compares in constant time. Only ``v1`` counts, since ``v1a`` is made with keys of the deployment.

    :param now: seconds since 1970.
    """
    message_id, timestamp = headers.get(ID_HEADER, ""), headers.get(TIMESTAMP_HEADER, "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > TIMESTAMP_DIGITS:
        return False
    if abs(now - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + content
    valid = [f"v1,{_base64(hmac.digest(secret, signed, hashlib.sha256))}".encode() for secret in secrets]
    given = headers.get(SIGNATURE_HEADER, "").encode().split()[:MAX_SIGNATURES]
    return any(hmac.compare_digest(one, other) for one in valid for other in given)


def _private(key: str) -> Any:
    seed = _bytes(key, PRIVATE_PREFIX)
    # Imported here: cryptography comes with an extra, and is needed only with a key.
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError as exc:
        raise InvalidOption(OPTION, "needs the package cryptography", "install it") from exc
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed)


def _bytes(key: str, prefix: str) -> bytes:
    encoded = key.removeprefix(prefix)
    try:
        found = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if encoded == key or len(found) != KEY_LENGTH:
        raise InvalidOption(
            OPTION, f"must list keys of {PRIVATE_PREFIX} or {PUBLIC_PREFIX} and 32 bytes in base64", REMEDY
        )
    return found


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
