"""The credentials of subscriptions, encrypted for the database. Needs cryptography (``eventalarm[ifa]``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography import fernet

from eventalarm.exceptions import InvalidOption

OPTION = "[eventalarm_ifa] credentials_key"


class Vault:
    """Encrypts and decrypts with the option ``credentials_key``; without a key it can do neither.

    The first of several comma-separated keys encrypts; each of them decrypts.

    :raises InvalidOption: when one of the keys is not valid.
    """

    def __init__(self, keys: str) -> None:
        try:
            found = [fernet.Fernet(key.strip()) for key in keys.split(",") if key.strip()]
            self._newest = found[0] if found else None
            self._fernet = fernet.MultiFernet(found) if found else None
        except ValueError as exc:
            raise InvalidOption(
                OPTION,
                "is not a valid Fernet key",
                "its help says how to make one",
            ) from exc

    @property
    def usable(self) -> bool:
        """Return True if there is a key."""
        return self._fernet is not None

    def close(self, secret: Mapping[str, Any]) -> str:
        """Return *secret* encrypted; there must be a key."""
        assert self._fernet is not None
        return self._fernet.encrypt(json.dumps(secret).encode()).decode()

    def renewed(self, text: str) -> str | None:
        """Return *text* encrypted with the first key; None if it is already.

        :raises InvalidOption: when none of the keys decrypts it.
        """
        if self._fernet is None or self._newest is None:
            return None
        try:
            self._newest.decrypt(text.encode())
        except fernet.InvalidToken:
            return self.close(self.open(text))
        return None

    def open(self, text: str) -> dict[str, Any]:
        """Return the secret that was encrypted.

        :raises InvalidOption: when none of the keys decrypts it.
        """
        try:
            opened = self._fernet.decrypt(text.encode()) if self._fernet is not None else b""
            return dict(json.loads(opened))
        except (fernet.InvalidToken, ValueError) as exc:
            raise InvalidOption(
                OPTION, "does not decrypt the stored credentials", "add the earlier key after a comma"
            ) from exc
