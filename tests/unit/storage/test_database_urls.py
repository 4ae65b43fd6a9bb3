"""No error about a database URL shows its password (SQLAlchemy before 2.0.41 did)."""

from __future__ import annotations

import importlib.metadata

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import options as db_options
from packaging import requirements

from eventalarm.database_url import database_url
from eventalarm.exceptions import InvalidOption


@pytest.mark.parametrize("url", ["mysql+pymysql//aodh:s3cret@db/aodh", "mysql://aodh:s3cret@db:port/aodh"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    with pytest.raises((sa.exc.ArgumentError, ValueError)) as problem:
        sa.make_url(url)
    assert "s3cret" not in f"{problem.value!r} {problem.value}"


def test_a_password_that_is_not_encoded_is_not_shown() -> None:
    conf = cfg.ConfigOpts()
    conf.register_opts(db_options.database_opts, "database")
    conf([])
    conf.set_override("connection", "mysql+pymysql://aodh:a@b:s3cret@db/aodh", "database")
    with pytest.raises(InvalidOption, match=r"\[database\] connection: .* percent-encode") as problem:
        database_url(conf)
    assert "s3cret" not in str(problem.value)


def test_older_releases_are_not_accepted() -> None:
    found = [requirements.Requirement(one) for one in importlib.metadata.requires("eventalarm") or []]
    (ours,) = [one for one in found if one.name.lower() == "sqlalchemy"]
    assert "2.0.40" not in ours.specifier
    assert "2.0.41" in ours.specifier
