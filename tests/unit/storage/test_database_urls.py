"""No error about a database URL shows its password (SQLAlchemy before 2.0.41 did)."""

from __future__ import annotations

import importlib.metadata

import pytest
import sqlalchemy as sa
from packaging import requirements


@pytest.mark.parametrize("url", ["mysql+pymysql//aodh:s3cret@db/aodh", "mysql://aodh:s3cret@db:port/aodh"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    with pytest.raises((sa.exc.ArgumentError, ValueError)) as problem:
        sa.make_url(url)
    assert "s3cret" not in f"{problem.value!r} {problem.value}"


def test_older_releases_are_not_accepted() -> None:
    found = [requirements.Requirement(one) for one in importlib.metadata.requires("eventalarm") or []]
    (ours,) = [one for one in found if one.name.lower() == "sqlalchemy"]
    assert "2.0.40" not in ours.specifier
    assert "2.0.41" in ours.specifier
