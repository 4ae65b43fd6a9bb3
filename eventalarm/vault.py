"""Secrets in the database: how they are encrypted, decrypted, and encrypted again with a new key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import InvalidOption

OPTION: Final = "[eventalarm_ifa] credentials_key"


class Vault:
    """Encrypts and decrypts secrets with the option ``credentials_key``; without a key it can do neither.

    The first of several comma-separated keys encrypts; each of them decrypts.

    :raises InvalidOption: when one of the keys is not valid.
    """

    def __init__(self, keys: str) -> None:
        self._keys = [_fernet(key) for key in map(str.strip, keys.split(",")) if key]

    @property
    def usable(self) -> bool:
        """Return True if there is a key."""
        return bool(self._keys)

    def close(self, secret: Mapping[str, Any]) -> str:
        """Return *secret* encrypted; there must be a key."""
        return str(self._keys[0].encrypt(json.dumps(secret).encode()).decode())

    def open(self, text: str) -> dict[str, Any]:
        """Return the secret that was encrypted.

        :raises InvalidOption: when no key is set, or none of the keys decrypts it.
        """
        if not self._keys:
            raise InvalidOption(OPTION, "is not set", "set it to the value that the APIs have")
        opened = _decrypted(text, self._keys)
        if opened is None:
            raise InvalidOption(
                OPTION, "does not decrypt the stored secret", "add the earlier key after a comma"
            )
        return dict(json.loads(opened))

    def renewed(self, text: str) -> str | None:
        """Return *text* encrypted with the first key; None if it already is, or without a key.

        :raises InvalidOption: when none of the keys decrypts it.
        """
        if not self._keys or _decrypted(text, self._keys[:1]) is not None:
            return None
        return self.close(self.open(text))


def _fernet(key: str) -> Any:
    # Imported here and below: cryptography comes with an extra, and is needed only with a key.
    try:
        from cryptography import fernet  # noqa: PLC0415
    except ImportError as exc:
        raise InvalidOption(OPTION, "needs the package cryptography", "install it") from exc

    try:
        return fernet.Fernet(key)
    except ValueError as exc:
        raise InvalidOption(OPTION, "is not a valid Fernet key", "its help says how to make one") from exc


def _decrypted(text: str, keys: Sequence[Any]) -> bytes | None:
    """Return *text* decrypted with the first of *keys* that fits, None if none does."""
    from cryptography import fernet  # noqa: PLC0415

    try:
        return bytes(fernet.MultiFernet(keys).decrypt(text.encode()))
    except fernet.InvalidToken:
        return None
