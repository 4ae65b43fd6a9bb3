"""Signs webhooks with the secrets of projects, which each process keeps in memory, and with ed25519 keys."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import cachetools
from oslo_log import log

from eventalarm.conf import DELIVERY_GROUP, IFA_GROUP
from eventalarm.delivery.signatures import SigningKeys, secret_bytes, signed_headers
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, InvalidOption, Retryable
from eventalarm.storage.database import Database
from eventalarm.storage.project_secrets import ProjectSecret, ProjectSecrets
from eventalarm.vault import OPTION, Vault

LOG = log.getLogger(__name__)

# Seconds for which a write may have been committed after its ``changed_at``; it is read again until then.
LATEST_COMMIT: Final = datetime.timedelta(seconds=60)
# Seconds between two reads of the whole table, which find rows that were removed by hand, or written while
# the database's clock was behind.
WHOLE: Final = 600.0
# After this many intervals without a successful read nothing is sent until there is one.
STALE: Final = 6
# Maximum number of secrets that are kept decrypted.
MOST_OPENED: Final = 10_000


def close_secret(vault: Vault, project_id: str, secret: str) -> str:
    """Return *secret* encrypted for *project_id*; there must be a key."""
    return vault.close({"project_id": project_id, "secret": secret})


def open_secret(vault: Vault, project_id: str, text: str) -> bytes:
    """Return the secret that :func:`close_secret` encrypted for *project_id*.

    :raises InvalidOption: when none of the keys decrypts it.
    """
    opened = vault.open(text)
    if opened.get("project_id") != project_id:
        raise InvalidOption(OPTION, "decrypts a secret of another project", "rotate the secret")
    return secret_bytes(str(opened["secret"]))


@dataclasses.dataclass(frozen=True, slots=True)
class _Snapshot:
    """The secrets of all projects, still encrypted, and the database's clock at the monotonic ``read_at``."""

    rows: Mapping[str, ProjectSecret]
    newest: datetime.datetime | None
    database_now: datetime.datetime
    read_at: float
    whole_at: float


def _read(database: Database, known: _Snapshot | None, at: float) -> _Snapshot:
    """Return what *known* becomes with what was written since; *at* is now, a monotonic time in seconds."""
    store = ProjectSecrets(database)
    if known is None or known.newest is None or at - known.whole_at >= WHOLE:
        rows, whole_at = {row.project_id: row for row in store.changed_since(None)}, at
    else:
        news = store.changed_since(known.newest - LATEST_COMMIT)
        rows, whole_at = {**known.rows, **{row.project_id: row for row in news}}, known.whole_at
    newest = max((row.changed_at for row in rows.values()), default=None)
    return _Snapshot(rows, newest, database.about_now(), at, whole_at)


class Signer:
    """Returns the headers that sign a webhook; a project without a secret costs a look into a dictionary.

    Used in the event loop; the database is read by a thread, every *interval* seconds, not per delivery.

    :raises InvalidOption: when a key of *vault* or *keys* is not valid.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        keys: SigningKeys,
        interval: float,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._vault = vault
        self._keys = keys
        self._interval = interval
        self._now = now
        self._monotonic = monotonic
        self._threads = Threads("signing secrets", 1)
        self._known: _Snapshot | None = None
        self._renewed = False
        # By project and encrypted text.
        self._opened: cachetools.LRUCache[tuple[str, str], bytes] = cachetools.LRUCache(MOST_OPENED)

    async def headers(self, project_id: str, message_id: str, content: bytes) -> dict[str, str]:
        """Return the headers that sign *content* for a project; none without a secret and without a key.

        :raises DeliveryError: ``secrets``, which is not an attempt, when the secrets cannot be read;
            ``credentials`` when the secret of the project cannot be decrypted. Nothing is sent unsigned then.
        """
        known = self._known
        if known is None or not self._is_fresh(known):
            known = await self._read_or_postpone()
        row = known.rows.get(project_id)
        if row is None and not self._keys.can_sign:
            return {}
        secrets = [] if row is None else self._valid(row, known)
        return signed_headers(message_id, int(self._now()), content, secrets, self._keys)

    async def run_once(self) -> float:
        """Read the secrets that changed; return the seconds until the next read.

        Once in each process, also encrypt secrets of an older key with the newest one.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        known = await self._threads.run(self._read)
        if not self._renewed:
            await self._threads.run(self._renew, known)
            self._renewed = True
        return self._interval

    def _is_fresh(self, known: _Snapshot) -> bool:
        return self._monotonic() - known.read_at < STALE * self._interval

    async def _read_or_postpone(self) -> _Snapshot:
        try:
            return await self._threads.run(self._read_if_stale)
        except Retryable as exc:
            raise DeliveryError(
                "secrets", "the signing secrets cannot be read from the database", attempted=False
            ) from exc

    def _read_if_stale(self) -> _Snapshot:
        # Of many deliveries that wait for the one thread, the first one reads.
        known = self._known
        return known if known is not None and self._is_fresh(known) else self._read()

    def _read(self) -> _Snapshot:
        self._known = known = _read(self._database, self._known, self._monotonic())
        return known

    def _valid(self, row: ProjectSecret, known: _Snapshot) -> list[bytes]:
        """Return the secrets of a project that are valid now, by the database's clock, the newest first."""
        now = known.database_now + datetime.timedelta(seconds=self._monotonic() - known.read_at)
        return [self._open(row.project_id, text) for text in row.valid_at(now)]

    def _open(self, project_id: str, text: str) -> bytes:
        found = self._opened.get((project_id, text))
        if found is None:
            try:
                found = open_secret(self._vault, project_id, text)
            except InvalidOption as exc:
                raise DeliveryError("credentials", f"the signing secret: {exc}") from exc
            self._opened[project_id, text] = found
        return found

    def _renew(self, known: _Snapshot) -> None:
        store = ProjectSecrets(self._database)
        for row in known.rows.values():
            try:
                secret = self._vault.renewed(row.secret)
                previous = self._vault.renewed(row.previous) if row.previous else None
            except InvalidOption as exc:
                LOG.warning("The signing secret of project %s cannot be decrypted: %s", row.project_id, exc)
                continue
            if secret is not None or previous is not None:
                store.renew(row, secret or row.secret, previous or row.previous)


def from_conf(conf: Any, database: Database) -> Signer:
    """Return the signer that the options describe.

    :raises InvalidOption: when a key is not valid.
    """
    group = conf[DELIVERY_GROUP]
    vault = Vault(conf[IFA_GROUP].credentials_key)
    return Signer(database, vault, SigningKeys(group.signing_key), group.secret_refresh)
