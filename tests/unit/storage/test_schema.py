"""Which revisions of the schema a release works with."""

from __future__ import annotations

import pytest

from eventalarm.status.upgrade import ORDER, still_to_do
from eventalarm.storage import tables
from eventalarm.storage.schema import SchemaState, assess

AODH = {name: frozenset(table.columns.keys()) for name, table in tables.aodh_metadata.tables.items()}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ("", SchemaState.MISSING),
        ("0101", SchemaState.BEHIND),
        ("0102", SchemaState.CURRENT),
        ("0103", SchemaState.AHEAD),
        ("0200", SchemaState.AHEAD),
        ("0207", SchemaState.AHEAD),
        ("0300", SchemaState.NEWER),
        ("0001", SchemaState.NEWER),
        ("new", SchemaState.NEWER),
    ],
)
def test_a_release_works_up_to_the_next_contraction(found: str, state: SchemaState) -> None:
    status = assess(AODH, found, ("0102", "0101", "0100"))
    assert status.state is state
    assert status.usable == (state in (SchemaState.CURRENT, SchemaState.AHEAD))
    assert still_to_do(status) == (ORDER[1:] if status.usable else ORDER)
