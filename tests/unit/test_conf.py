"""The options and their sample file."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from oslo_config import cfg

from eventalarm import conf

ROOT = pathlib.Path(__file__).parents[2]
SAMPLE = ROOT / "eventalarm/etc/eventalarm.conf.sample"


def test_the_sample_is_fresh(tmp_path: pathlib.Path) -> None:
    made = tmp_path / "sample"
    generator = pathlib.Path(sys.executable).with_name("oslo-config-generator")
    options = ROOT / "etc/eventalarm/eventalarm-config-generator.conf"
    subprocess.run(
        [str(generator), "--config-file", str(options), "--output-file", str(made)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert made.read_text() == SAMPLE.read_text(), "make it again: tox -e genconfig"


def test_the_sample_holds_every_option_and_no_others() -> None:
    lines = SAMPLE.read_text().splitlines()
    named = {line[1:].partition(" =")[0] for line in lines if line.startswith("#") and " =" in line}
    assert named >= {opt.dest for _, opts in conf.list_opts() for opt in opts}
    sections = {line.strip("[]") for line in lines if line.startswith("[")}
    assert sections == {"DEFAULT", *(group for group, _ in conf.list_opts())}


def test_every_option_explains_itself() -> None:
    short = [opt.name for _, opts in conf.list_opts() for opt in opts if len(opt.help or "") < 20]
    assert short == []


def test_options_can_be_registered_twice() -> None:
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    conf.register_opts(options)
    options([])
    assert options.eventalarm.topic == "event_eval"


@pytest.mark.parametrize(("group", "opts"), conf.list_opts())
def test_defaults_are_valid(group: str, opts: list[cfg.Opt]) -> None:
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], validate_default_values=True)
    assert [opt.dest for opt in opts if opt.dest not in options[group]] == []
    for opt in opts:
        options[group][opt.dest]
