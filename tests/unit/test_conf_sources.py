"""Where options come from: files, directories, the environment, a web server, and names of old releases."""

from __future__ import annotations

import logging
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest
from oslo_config import cfg
from oslo_log import versionutils

from eventalarm import bus, etc, service
from eventalarm import conf as options
from eventalarm.cmd.command import wsgi_application
from eventalarm.conf.listener import LISTENER_OPTS

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ROOT / "tests/data/option-names.txt"
# Of which libraries an aodh.conf with the options of eventalarm has groups.
NAMESPACES = (
    *(
        "eventalarm",
        "aodh",
        "aodh-auth",
        "oslo.config",
        "oslo.db",
        "oslo.log",
        "oslo.messaging",
        "oslo.policy",
    ),
    *("oslo.middleware", "oslo.reports", "keystonemiddleware.auth_token"),
)
AODH = """\
[DEFAULT]
transport_url = rabbit://guest:secret@broker/
log_dir = /var/log/aodh
[api]
auth_mode = keystone
[database]
connection = mysql+pymysql://aodh:secret@database/aodh
[keystone_authtoken]
auth_type = password
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
[service_credentials]
auth_type = password
interface = internalURL
[eventalarm]
metrics_port = 9476
[eventalarm_delivery]
allow_networks = 10.0.0.0/8
[eventalarm_ifa]
port = 8043
[eventalarm_ingest]
port = 8044
[eventalarm_inspector]
snapshot_interval = 0
"""


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The home directory, in which commands look for configuration files before they do in /etc."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(*argv: str) -> cfg.ConfigOpts:
    return service.prepare(argv, prog="eventalarm-test", description="", epilog="")


def topic(text: str) -> str:
    return f"[eventalarm]\ntopic = {text}\n"


def test_files_are_read_in_the_documented_order(home: pathlib.Path) -> None:
    """The last one wins: aodh.conf, eventalarm.conf, aodh.conf.d, eventalarm.conf.d."""
    assert read().eventalarm.topic == "event_eval"
    for place in (
        ".aodh/aodh.conf",
        ".eventalarm/eventalarm.conf",
        ".aodh/aodh.conf.d/10.conf",
        ".eventalarm/eventalarm.conf.d/10.conf",
        ".eventalarm/eventalarm.conf.d/20.conf",
    ):
        write(home / place, topic(place))
        assert read().eventalarm.topic == place


def test_eventalarm_conf_alone_suffices(home: pathlib.Path) -> None:
    text = "[DEFAULT]\ntransport_url = rabbit://broker/\n[database]\nconnection = sqlite://\n"
    write(home / ".eventalarm/eventalarm.conf", text)
    conf = read()
    bus.get_transport(conf).cleanup()
    assert (conf.transport_url, conf.database.connection) == ("rabbit://broker/", "sqlite://")


@pytest.mark.parametrize("folder", ["new", "missing"])
def test_config_dir_is_read(home: pathlib.Path, folder: str) -> None:
    write(home / "new/10.conf", topic("ours"))
    if folder == "new":
        assert read("--config-dir", str(home / folder)).eventalarm.topic == "ours"
    else:
        with pytest.raises(SystemExit):
            read("--config-dir", str(home / folder))


def scripts() -> list[str]:
    text = (ROOT / "setup.cfg").read_text()
    return re.findall(r"^    eventalarm-[\w-]+ = (eventalarm\.cmd\.\w+):main$", text, re.MULTILINE)


# They read no configuration: their arguments say all, or they write one of their own.
WITHOUT = {f"eventalarm.cmd.{name}" for name in ("config", "definitions", "demo", "standalone", "trial")}


def test_every_command_that_reads_a_configuration_has_config_dir() -> None:
    program = """
import contextlib, importlib, io, sys
for name in sys.argv[1:]:
    out = io.StringIO()
    for words in (["--help"], ["check", "--help"], ["upgrade", "check", "--help"]):
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(contextlib.suppress(SystemExit))
            importlib.import_module(name).main(words)
    print(name, "--config-dir" in out.getvalue() and "--config-file" in out.getvalue())
"""
    found = subprocess.run(
        [sys.executable, "-c", program, *scripts()], capture_output=True, text=True, check=True, timeout=120
    )
    lines = dict(line.split() for line in found.stdout.splitlines())
    assert {name for name, has in lines.items() if has == "False"} == WITHOUT & set(lines)
    assert len(lines) > 10


def test_a_wsgi_server_may_name_files_and_directories(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(home / "a.conf", topic("a") + "exchange = of-file\n")
    write(home / "b/10.conf", topic("b"))
    monkeypatch.setenv("EVENTALARM_CONFIG", f"{file}:{home / 'b'}")
    conf = wsgi_application("eventalarm-test", lambda conf: conf)
    assert (conf.eventalarm.topic, conf.eventalarm.exchange) == ("b", "of-file")


def validate(path: pathlib.Path, *namespaces: str) -> tuple[int, str]:
    command = [
        str(pathlib.Path(sys.executable).with_name("oslo-config-validator")),
        "--input-file",
        str(path),
    ]
    done = subprocess.run(
        [*command, *(word for name in namespaces for word in ("--namespace", name))],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


def test_the_validator_accepts_the_sample_with_every_option_set(tmp_path: pathlib.Path) -> None:
    sample = (etc.FOLDER / "eventalarm.conf.sample").read_text()
    text = re.sub(r"^#(\w+ = )", r"\1", sample, flags=re.MULTILINE)
    assert text.count("\ntopic = ") == 1
    code, errors = validate(write(tmp_path / "eventalarm.conf", text), "eventalarm")
    assert code == 0, errors
    misspelled = write(tmp_path / "eventalarm.conf", text + "[eventalarm]\ntopics = a\n")
    code, errors = validate(misspelled, "eventalarm")
    assert code == 1
    assert "eventalarm/topics is not part of the sample config" in errors


def test_the_validator_accepts_an_aodh_conf_with_our_groups(tmp_path: pathlib.Path) -> None:
    code, errors = validate(write(tmp_path / "aodh.conf", AODH), *NAMESPACES)
    assert code == 0, errors
    page = (ROOT / "doc/source/configuration/index.rst").read_text()
    assert set(re.findall(r"--namespace ([\w.-]+)", page)) == set(NAMESPACES)


def test_options_are_read_from_the_environment(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".eventalarm/eventalarm.conf", "[database]\nconnection = sqlite:///of-file\n")
    monkeypatch.setenv("OS_DATABASE__CONNECTION", "sqlite:///of-environment")
    monkeypatch.setenv("OS_EVENTALARM__TOPIC", "of-environment")
    conf = read()
    assert (conf.database.connection, conf.eventalarm.topic) == ("sqlite:///of-environment", "of-environment")


def names_of(group: str, opt: cfg.Opt) -> Sequence[str]:
    old = (f"{one.group or group}/{one.name or opt.dest}" for one in opt.deprecated_opts)
    return [f"{group}/{opt.dest}", *old]


def test_every_name_that_a_release_had_is_known() -> None:
    """A renamed option keeps its old name as ``deprecated_name``; add new names to the file at a release."""
    known = {name for group, opts in options.list_opts() for opt in opts for name in names_of(group, opt)}
    assert set(NAMES.read_text().split()) - known == set()


def test_a_deprecated_name_works_and_is_logged(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (opt,) = (one for one in LISTENER_OPTS if one.dest == "topic")
    monkeypatch.setattr(opt, "deprecated_opts", [cfg.DeprecatedOpt("old_topic", group="old_group")])
    monkeypatch.setattr(versionutils, "_deprecated_messages_sent", {})
    log = home / "eventalarm.log"
    text = f"[DEFAULT]\nlog_file = {log}\n[old_group]\nold_topic = ours\n"
    write(home / ".eventalarm/eventalarm.conf", text)
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        assert read().eventalarm.topic == "ours"
    finally:
        for handler in [one for one in root.handlers if one not in before]:
            root.removeHandler(handler)
    text = log.read_text()
    assert 'Option "old_topic" from group "old_group" is deprecated' in text
    assert text.count("old_topic") == 1
