"""How a command starts: which files it reads, and what it says when they are wrong."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Sequence

import aodh.evaluator
import pytest

from eventalarm import service
from eventalarm.database_url import with_driver, with_mysqlclient
from eventalarm.storage.session import SessionLimits
from tests.support import inprocess

PROGRAM = """
import sys
import eventalarm.cmd
from eventalarm import service
from oslo_service import backend
conf = service.prepare(sys.argv[1:], prog="eventalarm-test", description="", epilog="")
service.database(conf).dispose()
print(backend.get_backend_type())
"""
STARTED = """
import sys
from eventalarm.cmd.listener import COMMAND
conf = COMMAND.configure(sys.argv[1:])
from eventalarm.app import services
services.check_options(conf)
history = conf.record_history
slow = ("aodh.api", "oslo_policy")
print([name for name in slow if name in sys.modules], conf.api.paste_config, history)
"""


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The home directory of :func:`run`."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def start(argv: Sequence[str]) -> int:
    conf = service.prepare(
        argv, prog="eventalarm-test", description="First line.\n  second line", epilog="the end"
    )
    with service.errors_on_stderr("eventalarm-test"):
        print(conf.eventalarm.workers, service.database(conf).engine.url)
    return 0


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return inprocess.run(start, *argv)


def write(path: pathlib.Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def error(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2
    assert result.stderr.startswith("eventalarm-test: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_our_file_is_read_after_that_of_aodh(home: pathlib.Path) -> None:
    write(home / ".aodh/aodh.conf", "[database]\nconnection = sqlite:///a\n[eventalarm]\nworkers = 2\n")
    write(home / ".eventalarm/eventalarm.conf", "[eventalarm]\nworkers = 3\n")
    assert run().stdout.startswith("3 sqlite:///a\n")


def test_config_file_replaces_the_default_ones(home: pathlib.Path) -> None:
    write(home / ".aodh/aodh.conf", "[eventalarm]\nworkers = 5\n")
    text = "[eventalarm]\nmysqlclient = false\n[database]\nconnection = mysql://u:p@h/aodh?charset=utf8\n"
    mine = write(home / "mine.conf", text)
    assert run("--config-file", mine).stdout.startswith("2 mysql+pymysql://u:***@h/aodh?charset=utf8mb4\n")


def test_commands_do_not_ask_keystone(home: pathlib.Path) -> None:
    text = "[database]\nconnection = sqlite://\n[service_credentials]\nauth_type = password\n"
    result = run("--config-file", write(home / "a.conf", text))
    assert (result.returncode, result.stderr) == (0, "")


def test_commands_run_on_threads(home: pathlib.Path) -> None:
    """In a process of its own: this one keeps the backend that it selected first."""
    write(home / ".aodh/aodh.conf", "[database]\nconnection = sqlite://\n")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout, result.stderr) == ("BackendType.THREADING\n", "")


def test_a_listener_starts_without_the_api_of_aodh_and_has_its_options(home: pathlib.Path) -> None:
    text = "[DEFAULT]\nrecord_history = false\n[database]\nconnection = sqlite://\n"
    path = write(home / "a.conf", f"{text}[api]\npaste_config = mine.ini\n")
    result = subprocess.run(
        [sys.executable, "-c", STARTED, "--config-file", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.stdout, result.stderr) == ("[] mine.ini False\n", "")


def test_the_option_of_the_history_is_that_of_aodh() -> None:
    (theirs,) = [opt for opt in aodh.evaluator.OPTS if opt.dest == service.RECORD_HISTORY.dest]
    assert vars(service.RECORD_HISTORY) == vars(theirs)


def test_an_invalid_connection_is_named(home: pathlib.Path) -> None:
    message = error(run())
    assert "[database] connection: is not set (no configuration file was found)" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[eventalarm]\nworkers = 0\n", "[eventalarm] workers: Should be greater"),
        ("[eventalarm_delivery]\nmode = later\n", "[eventalarm_delivery] mode: Valid values are"),
        ("[eventalarm]\ntopic = $nothing\n", "[eventalarm] topic: no such option nothing"),
        ("[database]\nmax_pool_size = many\n", "[database] max_pool_size: invalid literal"),
        ("workers\n", "Failed to parse"),
        ("[database]\nconnection = oracle9://u:s3cret@h/a\n", "[database] connection: Can't load plugin"),
        ("[database]\nconnection = nonsense\n", "[database] connection: Could not parse"),
    ],
)
def test_an_invalid_option_is_named(home: pathlib.Path, text: str, expected: str) -> None:
    path = write(home / "a.conf", text)
    message = error(run("--config-file", path))
    assert expected in message
    assert "s3cret" not in message


def test_a_wrong_variable_is_named(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_EVENTALARM__WORKERS", "none")
    assert "OS_EVENTALARM__WORKERS" in error(run())


def test_a_log_file_that_cannot_be_written(home: pathlib.Path) -> None:
    path = write(home / "a.conf", f"[DEFAULT]\nlog_file = {home}/none/x.log\n")
    assert "log_file" in error(run("--config-file", path))


def test_help_keeps_its_lines(home: pathlib.Path) -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "First line.\n  second line\n" in result.stdout
    assert result.stdout.endswith("the end\n")
    assert run("--version").stdout == f"eventalarm-test {service.package_version()}\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://h/a", "mysql+pymysql://h/a"),
        ("mysql+pymysql://h/a", "mysql+pymysql://h/a"),
        ("postgresql://h/a", "postgresql+psycopg://h/a"),
        ("postgresql+psycopg2://h/a", "postgresql+psycopg2://h/a"),
        ("sqlite:////a", "sqlite:////a"),
    ],
)
def test_short_schemes_get_a_driver(url: str, expected: str) -> None:
    assert with_driver(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql+pymysql://u:p%40@h/aodh", "mysql+mysqldb://u:p%40@h/aodh?connect_timeout=10"),
        ("mysql+pymysql://h/aodh?connect_timeout=3", "mysql+mysqldb://h/aodh?connect_timeout=3"),
        ("mysql+pymysql://h/aodh?ssl_ca=/etc/ca.pem", None),
        ("postgresql+psycopg://h/aodh", None),
        ("sqlite:////aodh", None),
    ],
)
def test_mysqlclient_replaces_pymysql_where_it_means_the_same(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", types.ModuleType("MySQLdb"))
    assert with_mysqlclient(url) == (expected or url)
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    assert with_mysqlclient(url) == url


@pytest.mark.parametrize("connection", ["", "connection = oracle://h/aodh\n", "connection = nonsense\n"])
def test_a_listener_that_can_never_work_ends_at_once(home: pathlib.Path, connection: str) -> None:
    """Fails when each of its processes finds out for itself, and is started again forever."""
    text = f"[DEFAULT]\ntransport_url = rabbit://127.0.0.1:1/\n[database]\n{connection}"
    conf = write(home / "aodh.conf", text)
    done = subprocess.run(
        [sys.executable, "-m", "eventalarm.cmd.listener", "--config-file", conf],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("eventalarm-listener: error: [database] connection: ")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_the_limits_of_sessions_are_options(tmp_path: pathlib.Path) -> None:
    """Before the fix: the options were read by nobody."""
    path = tmp_path / "aodh.conf"
    path.write_text(
        "[database]\nconnection = sqlite://\n[eventalarm]\nlock_timeout = 7\nidle_transaction_timeout = 8\n"
    )
    conf = service.prepare(["--config-file", str(path)], prog="p", description="", epilog="")
    assert service._limits(conf) == SessionLimits(7.0, 8.0)
