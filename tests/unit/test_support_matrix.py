"""The support matrix and the security policy agree with the package and name pages that exist."""

from __future__ import annotations

import configparser
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "doc/source/install/support.rst").read_text()


def rows() -> list[tuple[str, str, str]]:
    """Return part, version and state of each row; the part is that of the row above where it is empty."""
    found, part = [], ""
    for row in re.split(r"^   \* - ?", PAGE, flags=re.M)[2:]:
        name, version, state, *_ = (re.sub(r"^ *- ?", "", line).strip() for line in row.splitlines())
        part = name or part
        found.append((part, version, state))
    return found


def requirements() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split()
    return dict(re.findall(r"^([\w.]+)>=([\d.]+)", "\n".join(lines), re.M))


@pytest.mark.parametrize("name", ["Aodh", "Ceilometer", "oslo.messaging"])
def test_the_oldest_supported_version_is_the_lower_bound_of_the_package(name: str) -> None:
    low = requirements()[name.lower()]
    versions = [version for part, version, state in rows() if part == name and state == "supported"]
    assert any(re.match(rf"{re.escape(version.split()[0])}(\.0)*$", low) for version in versions), (
        low,
        versions,
    )


def test_every_version_of_python_in_the_classifiers_is_in_the_matrix() -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())
    listed = re.findall(r"3\.\d+", " ".join(version for part, version, _ in rows() if part == "Python"))
    assert sorted(listed) == sorted(classifiers)


def test_states_are_the_three_that_the_page_explains() -> None:
    assert {state.strip("*") for *_, state in rows()} == {"run", "supported", "unsupported"}


def test_the_security_policy_names_pages_and_sections_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    pages = re.findall(r"(doc/source/[\w/-]+\.rst)", text)
    assert len(pages) > 5
    assert [page for page in pages if not (ROOT / page).exists()] == []
    for page, section in re.findall(r"`(doc/source/[\w/-]+\.rst)`, \"([^\"]+)\"", text):
        assert f"\n{section}\n=" in (ROOT / page).read_text(), section
