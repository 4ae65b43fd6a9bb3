"""The lower bounds of the requirements, as ``./run-tests --lowest`` installs them."""

from __future__ import annotations

import pathlib

import pytest
from packaging.requirements import Requirement

from tests.support.lower_bounds import COMPANIONS, lower_bounds


def test_every_requirement_has_one_lower_bound() -> None:
    found = lower_bounds()
    assert {"aodh", "ceilometer", "oslo-messaging", "psycopg", "falcon"} <= set(found)
    assert [str(Requirement(f"{name}=={version}")) for name, version in found.items()]
    assert [str(Requirement(text)) for text in COMPANIONS] == list(COMPANIONS)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("a>=1\n    b", "b: must have the form NAME>=VERSION"),
        ("a<2", "a<2: must have the form NAME>=VERSION"),
        ("a.b>=1\n    A-B>=2", "a-b has two lower bounds: give it one"),
    ],
)
def test_a_requirement_without_one_lower_bound_is_named(
    tmp_path: pathlib.Path, lines: str, problem: str
) -> None:
    path = tmp_path / "setup.cfg"
    path.write_text(f"[options]\ninstall_requires =\n    {lines}\n[options.extras_require]\n")
    with pytest.raises(ValueError, match=problem):
        lower_bounds(path)
