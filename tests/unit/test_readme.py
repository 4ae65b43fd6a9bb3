"""The README is complete on an index of packages too: its links lead there, and to a running service."""

from __future__ import annotations

import configparser
import pathlib
import re

import docutils.core
import docutils.nodes

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "README.rst").read_text()
# What a newcomer types, in this order, until the service runs and is checked.
COMMANDS = (
    "pip install '.[mysql]'",
    "eventalarm-dbsync",
    "eventalarm-listener",
    "- eventalarm://",
    "eventalarm-status check --canary",
)


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def links() -> list[str]:
    """Return where the links of the README lead."""
    document = docutils.core.publish_doctree(TEXT, settings_overrides={"report_level": 3, "halt_level": 3})
    return [node["refuri"] for node in document.findall(docutils.nodes.reference) if "refuri" in node]


def files() -> list[pathlib.Path]:
    """Return the files of this repository to which the README links."""
    base = setup_cfg()["metadata"]["url"] + "/src/branch/master/"
    return [ROOT / link.removeprefix(base) for link in links() if link.startswith(base)]


def follow(text: str, commands: tuple[str, ...]) -> list[str]:
    """Return those of *commands* that *text* does not have after the ones before."""
    missing, at = [], 0
    for command in commands:
        found = re.compile(rf"(?:^ +|``){re.escape(command)}", re.MULTILINE).search(text, at)
        if found is None:
            missing.append(command)
        else:
            at = found.end()
    return missing


def test_every_link_is_absolute_and_leads_to_a_file_of_the_repository() -> None:
    assert len(files()) == len(links()) > 5
    assert [str(path) for path in files() if not path.is_file()] == []


def test_project_urls_lead_to_what_exists() -> None:
    url = setup_cfg()["metadata"]["url"]
    lines = setup_cfg()["metadata"]["project_urls"].strip().splitlines()
    found = {name.strip(): target.strip() for name, _, target in (line.partition("=") for line in lines)}
    assert found["Source"] == url
    for target in found.values():
        assert target.startswith(url)
        assert (ROOT / target.removeprefix(url).removeprefix("/src/branch/master").lstrip("/")).exists()


def test_a_newcomer_finds_a_running_service_on_one_page_and_more_on_the_next() -> None:
    assert follow(TEXT, COMMANDS) == []
    install = ROOT / "doc/source/install/install.rst"
    assert install in files()
    assert follow(install.read_text(), COMMANDS) == []
    scripts = setup_cfg()["options.entry_points"]["console_scripts"]
    for command in COMMANDS:
        program = command.split()[0]
        assert not program.startswith("eventalarm-") or f"\n{program} = " in scripts


def test_a_missing_command_is_noticed() -> None:
    assert follow(TEXT.replace("       eventalarm-dbsync\n", ""), COMMANDS) == ["eventalarm-dbsync"]
