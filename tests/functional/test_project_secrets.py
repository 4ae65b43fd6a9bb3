"""The store of signing secrets on each database that serves a cloud."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventalarm.storage import database as storage
from eventalarm.storage.project_secrets import ProjectSecrets

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def secrets(our_server_url: str) -> Iterator[ProjectSecrets]:
    opened = storage.connect(our_server_url)
    yield ProjectSecrets(opened)
    opened.dispose()


def test_a_project_has_one_secret_and_the_one_before(secrets: ProjectSecrets) -> None:
    """Red when rotations at the same moment read the same row: a secret that was given out is lost then."""
    made = secrets.add("p", "first")
    assert made is not None
    assert secrets.add("p", "second") is None
    assert secrets.rotate("q", "x", HOUR) is None
    assert secrets.get("p") == made
    assert (secrets.get("P"), secrets.get("p ")) == (None, None)
    assert made.valid_at(made.created_at) == ("first",)
    with ThreadPoolExecutor(2) as pool:
        rotated = list(pool.map(lambda secret: secrets.rotate("p", secret, HOUR), ("a", "b")))
    assert None not in rotated
    last = secrets.get("p")
    assert last in rotated
    assert last is not None
    assert sorted(last.valid_at(last.created_at)) == ["a", "b"]
    assert last.valid_at(last.created_at + HOUR) == (last.secret,)
    assert secrets.changed_since(last.changed_at) == secrets.changed_since(None) == [last]
    secrets.renew(made, "stale", None)
    secrets.renew(last, "renewed", "renewed too")
    renewed = secrets.get("p")
    assert renewed is not None
    assert renewed.valid_at(last.created_at) == ("renewed", "renewed too")
    ended = secrets.rotate("p", "c", datetime.timedelta())
    assert ended is not None
    assert ended.valid_at(ended.created_at) == ("c",)
