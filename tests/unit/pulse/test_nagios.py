"""Programs with the exit codes of Nagios plugins: options, and what their output means."""

from __future__ import annotations

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.finding import Health
from eventalarm.pulse.plugins.nagios import Command, command, evaluate, figures

ONE = Command("servers", ("check", "--password", "secret"), 30.0, "p1", "h1")


def test_a_command_has_a_name_settings_and_words() -> None:
    assert command("disk: check_disk -w '10 %'", 10.0) == Command("disk", ("check_disk", "-w", "10 %"), 10.0)
    text = "servers timeout=300 project=p1 host=h1: boot: --image cirros"
    assert command(text, 10.0) == Command("servers", ("boot:", "--image", "cirros"), 300.0, "p1", "h1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "check_disk",
        "disk:",
        "disk: ",
        ": check",
        "disk: 'open",
        "disk timeout=soon: check",
        "disk timeout=0: check",
        "disk timeout=inf: check",
        "disk user=me: check",
        "disk host=: check",
    ],
)
def test_a_command_that_cannot_be_read_names_option_and_remedy(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"\[eventalarm_pulse\] commands.*write NAME: COMMAND LINE"):
        command(text, 10.0)


@pytest.mark.parametrize(
    ("code", "output", "health", "summary"),
    [
        (0, "all well | time=1.5s;2;3", Health.OK, "all well"),
        (1, "slow\nmore hosts", Health.WARNING, "slow"),
        (2, "no ping", Health.CRITICAL, "no ping"),
        (3, "", Health.UNKNOWN, "servers printed nothing; exit code 3"),
        (
            127,
            "sh: x: not found",
            Health.UNKNOWN,
            "exit code 127, which is none of Nagios; it printed: sh: x: not found",
        ),
        (-11, "", Health.UNKNOWN, "signal 11 ended it"),
    ],
)
def test_the_exit_code_and_the_first_line_count(code: int, output: str, health: Health, summary: str) -> None:
    found = evaluate(ONE, code, output, 1.0)
    assert (found.health, found.summary, found.project_id, found.host) == (health, summary, "p1", "h1")
    assert bool(found.remedy) == (health is not Health.OK)
    assert "secret" not in str(found)


def test_the_lines_after_the_first_are_the_remedy() -> None:
    assert evaluate(ONE, 1, "slow | a=1\nadd a host\n| b=2", 1.0).remedy == "add a host"


def test_a_program_that_was_killed_is_critical() -> None:
    found = evaluate(ONE, -9, "pinging", 30.0, late=True)
    assert found.health is Health.CRITICAL
    assert found.summary == "not finished after 30 s, killed; it printed: pinging"
    assert "timeout=SECONDS" in found.remedy


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("time=0.5s;1;2 size=3KB", {"time_s": 0.5, "size_KB": 3.0}),
        ("'/var log'=80%;90;95;0;100", {"var_log_percent": 80.0}),
        ("load1=-0.5 n=2c", {"load1": -0.5, "n_c": 2.0}),
        ("bad=U also=1e999 =3 'open=1", {}),
        ("words without figures", {}),
    ],
)
def test_performance_data_become_figures(data: str, expected: dict[str, float]) -> None:
    assert figures(data) == expected


def test_figures_are_bounded() -> None:
    assert len(figures(" ".join(f"a{number}=1" for number in range(1000)))) == 50
