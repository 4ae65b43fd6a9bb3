"""The signer: what it reads and when, and that nothing leaves unsigned when it cannot read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import fernet
from standardwebhooks import Webhook

from eventalarm.delivery.senders.signer import STALE, WHOLE, Signer, close_secret
from eventalarm.delivery.signatures import SigningKeys, new_secret
from eventalarm.exceptions import DeliveryError, InvalidOption, Retryable
from eventalarm.storage import database as storage
from eventalarm.storage.project_secrets import ProjectSecrets
from eventalarm.storage.tables import metadata, project_secret
from eventalarm.vault import Vault

INTERVAL = 5.0
HOUR = datetime.timedelta(hours=1)
VAULT = Vault(fernet.Fernet.generate_key().decode())


class Clocks:
    """The clocks of the process and of the database, which run together."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def time(self) -> float:
        return 1_700_000_000.9 + self.passed


class Watched:
    """Stands in for a database with the clock of *clocks*; counts reads, and is down while not ``up``."""

    def __init__(self, real: storage.Database, clocks: Clocks) -> None:
        self._real = real
        self._clocks = clocks
        self.reads = 0
        self.up = True

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self.reads += 1
        if not self.up:
            raise Retryable("the database is down")
        with self._real.read() as connection:
            yield connection

    def begin(self) -> Any:
        return self._real.begin()

    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clocks.time(), datetime.UTC)

    about_now = now


class Case:
    """A signer on a database with the secret of project ``p``."""

    def __init__(self, real: storage.Database, signing_key: str = "") -> None:
        self.clocks = Clocks()
        self.database = Watched(real, self.clocks)
        database: Any = self.database
        self.secrets = ProjectSecrets(database)
        self.signer = Signer(
            database,
            VAULT,
            SigningKeys(signing_key),
            INTERVAL,
            now=self.clocks.time,
            monotonic=self.clocks.monotonic,
        )

    def add(self, project: str = "p") -> str:
        secret = new_secret()
        assert self.secrets.add(project, close_secret(VAULT, project, secret))
        return secret

    def rotate(self) -> str:
        secret = new_secret()
        assert self.secrets.rotate("p", close_secret(VAULT, "p", secret), HOUR)
        return secret

    async def signatures(self, project: str = "p") -> list[str]:
        found = await self.signer.headers(project, "id", b"{}")
        return found.get("webhook-signature", "").split()

    def expected(self, *secrets: str) -> list[str]:
        moment = datetime.datetime.fromtimestamp(int(self.clocks.time()), datetime.UTC)
        return [Webhook(secret).sign("id", moment, "{}") for secret in secrets]


@pytest.fixture
def case() -> Iterator[Case]:
    real = storage.connect("sqlite://")
    metadata.create_all(real.engine)
    yield Case(real)
    real.dispose()


def test_a_delivery_reads_nothing(case: Case) -> None:
    """Red when a delivery causes a statement, and when a project without a secret does."""
    secret = case.add()

    async def run() -> None:
        await case.signer.run_once()
        before = case.database.reads
        for _ in range(10):
            assert await case.signatures() == case.expected(secret)
            assert await case.signatures("q") == []
            case.clocks.passed += 1.0
        assert case.database.reads == before

    asyncio.run(run())


def test_many_first_deliveries_read_once(case: Case) -> None:
    secret = case.add()

    async def run() -> None:
        found = await asyncio.gather(*(case.signatures() for _ in range(20)))
        assert found == [case.expected(secret)] * 20
        assert case.database.reads == 1

    asyncio.run(run())


def test_each_attempt_has_its_own_timestamp(case: Case) -> None:
    secret = case.add()

    async def run() -> None:
        for _ in range(2):
            found = await case.signer.headers("p", "id", b"{}")
            assert found["webhook-timestamp"] == str(int(case.clocks.time()))
            assert found["webhook-signature"].split() == case.expected(secret)
            case.clocks.passed += 7.0

    asyncio.run(run())


def test_the_replaced_secret_is_used_until_it_expires(case: Case) -> None:
    first = case.add()

    async def run() -> None:
        assert await case.signer.run_once() == INTERVAL
        second = case.rotate()
        assert await case.signatures() == case.expected(first), "not read yet"
        await case.signer.run_once()
        assert await case.signatures() == case.expected(second, first)
        case.clocks.passed += HOUR.total_seconds() - 1.0
        await case.signer.run_once()
        assert await case.signatures() == case.expected(second, first)
        # The database's clock counts between two reads as well.
        case.clocks.passed += 1.0
        assert await case.signatures() == case.expected(second)

    asyncio.run(run())


def test_without_the_database_a_delivery_is_postponed(case: Case) -> None:
    """Red when the webhooks of a project with a secret are sent unsigned."""
    secret = case.add()

    async def run() -> None:
        case.database.up = False
        with pytest.raises(DeliveryError) as first:
            await case.signatures()
        assert (first.value.reason, first.value.attempted, first.value.permanent) == ("secrets", False, False)
        case.database.up = True
        await case.signer.run_once()
        case.database.up = False
        with pytest.raises(Retryable):
            await case.signer.run_once()
        case.clocks.passed += STALE * INTERVAL - 0.1
        assert await case.signatures() == case.expected(secret)
        case.clocks.passed += 0.2
        with pytest.raises(DeliveryError):
            await case.signatures("q")
        case.database.up = True
        assert await case.signatures() == case.expected(secret)

    asyncio.run(run())


def test_a_row_that_was_removed_by_hand_is_forgotten(case: Case) -> None:
    secret = case.add()

    async def run() -> None:
        await case.signer.run_once()
        with case.database.begin() as connection:
            connection.execute(sa.delete(project_secret))
        await case.signer.run_once()
        assert await case.signatures() == case.expected(secret)
        case.clocks.passed += WHOLE
        await case.signer.run_once()
        assert await case.signatures() == []

    asyncio.run(run())


@pytest.mark.parametrize(
    "text",
    ["x", "whsk_", "whsk_" + base64.b64encode(bytes(31)).decode(), "whsec_" + "A" * 43 + "=", "whpk_%"],
)
def test_a_signing_key_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"signing_key: must list keys of whsk_ or whpk_"):
        SigningKeys(text)


def test_every_private_key_is_used_and_public_keys_are_announced() -> None:
    first, second = ("whsk_" + base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2))
    keys = SigningKeys(f"{first}, {second}")
    announced = SigningKeys(",".join(keys.public))
    assert (len(keys.public), announced.public, announced.can_sign) == (2, keys.public, False)
    assert len(keys.sign(b"x")) == 2
    assert announced.sign(b"x") == []
