"""The credentials of subscriptions: encrypted on the way into the database, never answered to anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography import fernet

from eventalarm.exceptions import InvalidOption


class Vault:
    """Encrypts and decrypts with the option ``credentials_key``; without a key it can do neither.

    :raises InvalidOption: when the key is none.
    """

    def __init__(self, key: str) -> None:
        try:
            self._fernet = fernet.Fernet(key) if key else None
        except ValueError as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key", "it is no key", "its help says how to make one"
            ) from exc

    @property
    def usable(self) -> bool:
        """Tell whether there is a key."""
        return self._fernet is not None

    def close(self, secret: Mapping[str, Any]) -> str:
        """Return *secret* encrypted; there must be a key."""
        assert self._fernet is not None
        return self._fernet.encrypt(json.dumps(secret).encode()).decode()

    def open(self, text: str) -> dict[str, Any]:
        """Return what was encrypted.

        :raises InvalidOption: when the key is not the one that it was encrypted with.
        """
        try:
            opened = self._fernet.decrypt(text.encode()) if self._fernet is not None else b""
            return dict(json.loads(opened))
        except (fernet.InvalidToken, ValueError) as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key", "it does not open what is stored", "use the earlier key"
            ) from exc
