"""The credentials of subscriptions: encrypted on the way into the database, never answered to anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography import fernet

from eventalarm.exceptions import InvalidOption


class Vault:
    """Encrypts and decrypts with the option ``credentials_key``; without a key it can do neither.

    The first of several keys, with commas between them, encrypts; each of them decrypts.

    :raises InvalidOption: when one of the keys is not valid.
    """

    def __init__(self, keys: str) -> None:
        try:
            found = [fernet.Fernet(key.strip()) for key in keys.split(",") if key.strip()]
            self._newest = found[0] if found else None
            self._fernet = fernet.MultiFernet(found) if found else None
        except ValueError as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key",
                "is not a valid Fernet key",
                "its help says how to make one",
            ) from exc

    @property
    def usable(self) -> bool:
        """Tell whether there is a key."""
        return self._fernet is not None

    def close(self, secret: Mapping[str, Any]) -> str:
        """Return *secret* encrypted; there must be a key."""
        assert self._fernet is not None
        return self._fernet.encrypt(json.dumps(secret).encode()).decode()

    def renewed(self, text: str) -> str | None:
        """Return what was encrypted with an older key encrypted with the first one; None if there is no need.

        :raises InvalidOption: when none of the keys is the one that it was encrypted with.
        """
        if self._fernet is None or self._newest is None:
            return None
        try:
            self._newest.decrypt(text.encode())
        except fernet.InvalidToken:
            return self.close(self.open(text))
        return None

    def open(self, text: str) -> dict[str, Any]:
        """Return what was encrypted.

        :raises InvalidOption: when none of the keys is the one that it was encrypted with.
        """
        try:
            opened = self._fernet.decrypt(text.encode()) if self._fernet is not None else b""
            return dict(json.loads(opened))
        except (fernet.InvalidToken, ValueError) as exc:
            raise InvalidOption(
                "[eventalarm_ifa] credentials_key", "it does not open what is stored", "use the earlier key"
            ) from exc
