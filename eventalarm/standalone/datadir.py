"""The data directory: its lock and permissions, and the configuration files in it."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone import inprocess, sample

Sections = Mapping[str, Mapping[str, str]]

PRIVATE: Final = 0o700
LOCK: Final = "lock"
# Files that mark a directory as ours; a user may have created some before the first start.
OURS: Final = frozenset({LOCK, "event_pipeline.yaml", "event_definitions.yaml", "conf.d", "policy.yaml"})
HEADER: Final = "# Written at every start of eventalarm-standalone; your own options go into conf.d/*.conf.\n"

EVENT_PIPELINE: Final = """\
# Ceilometer's event pipeline. You may edit this file: it is written only if it is missing.
sources:
    - name: event_source
      events:
          - "*"
      sinks:
          - event_sink
sinks:
    - name: event_sink
      publishers:
          - eventalarm://
"""


@dataclasses.dataclass(frozen=True, slots=True)
class DataDir:
    """The files of one data directory; *path* is absolute."""

    path: pathlib.Path

    @property
    def aodh_conf(self) -> pathlib.Path:
        """The configuration of Aodh's API and eventalarm."""
        return self.path / "aodh.conf"

    @property
    def ceilometer_conf(self) -> pathlib.Path:
        """The configuration of Ceilometer's pipeline."""
        return self.path / "ceilometer.conf"

    @property
    def overrides(self) -> pathlib.Path:
        """The directory of the user's options, which override both."""
        return self.path / "conf.d"

    @property
    def event_pipeline(self) -> pathlib.Path:
        """The user's ``event_pipeline.yaml``."""
        return self.path / "event_pipeline.yaml"

    @property
    def event_definitions(self) -> pathlib.Path:
        """Ceilometer's ``event_definitions.yaml``, with ours merged in; changes of the user are kept."""
        return self.path / "event_definitions.yaml"

    @property
    def database(self) -> pathlib.Path:
        """The SQLite file with Aodh's tables and ours."""
        return self.path / "aodh.sqlite"

    @property
    def credentials_key(self) -> pathlib.Path:
        """The key that encrypts secrets in the database, made at the first start."""
        return self.path / "credentials.key"

    @property
    def log(self) -> pathlib.Path:
        """The log of the whole process."""
        return self.path / "standalone.log"

    @property
    def fault(self) -> pathlib.Path:
        """A notification to post: a server goes to error."""
        return self.path / "fault.json"

    @property
    def recovery(self) -> pathlib.Path:
        """A notification to post: that server is active again."""
        return self.path / "recovery.json"

    @property
    def rule(self) -> pathlib.Path:
        """A notification rule to try and change."""
        return self.path / "rule.json"

    @property
    def webhook(self) -> pathlib.Path:
        """A webhook that the demo's consumer received."""
        return self.path / "webhook.json"


@contextlib.contextmanager
def claim(path: str) -> Iterator[DataDir]:
    """Create the directory *path* if needed and lock it for this process until the end of the block.

    Only its owner may access it: it contains credentials.

    :raises InvalidOption: naming ``--data-dir`` when it cannot be used, other users may enter it, or
        another process holds it.
    """
    folder = pathlib.Path(path).expanduser().absolute()
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            _close_to_others(folder)
            lock = stack.enter_context((folder / LOCK).open("a+"))
        except OSError as exc:
            raise InvalidOption(
                "--data-dir",
                f"{folder} cannot be used ({exc.strerror})",
                "use a directory that you may write to",
            ) from exc
        _hold(lock, folder)
        yield DataDir(folder)


def _close_to_others(folder: pathlib.Path) -> None:
    """Make a directory that is empty or ours private; reject any other that is accessible to other users.

    :raises InvalidOption: naming ``--data-dir``.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & ~PRIVATE:
        return
    names = {path.name for path in folder.iterdir()}
    ours = not names or names & OURS
    if mode & stat.S_ISVTX or not ours:
        raise InvalidOption(
            "--data-dir",
            f"{folder} is accessible to other users",
            f"use a separate directory, or run: chmod 700 {folder}",
        )
    folder.chmod(PRIVATE)


def _hold(lock: Any, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.seek(0)
        holder = lock.read(20).strip() or "?"
        raise InvalidOption(
            "--data-dir",
            f"{folder} is in use by process {holder}",
            "stop that process first, or use another directory",
        ) from exc
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def fill(data: DataDir, aodh_paste: str) -> None:
    """Write the configuration and the sample notifications; the user's files are not changed.

    *aodh_paste* is the full path of the file that Aodh ships, so that none in ``/etc`` or the working
    directory is used instead.
    """
    data.overrides.mkdir(exist_ok=True)
    if not data.event_pipeline.exists():
        data.event_pipeline.write_text(EVENT_PIPELINE)
    _write(data.aodh_conf, _aodh_sections(data, aodh_paste))
    _write(data.ceilometer_conf, _ceilometer_sections(data))
    for path, notification in ((data.fault, sample.fault()), (data.recovery, sample.recovery())):
        path.write_text(json.dumps(notification, indent=1) + "\n")
    if not data.rule.exists():
        data.rule.write_text(json.dumps(sample.notification_rule(), indent=1) + "\n")
    with contextlib.closing(sqlite3.connect(data.database)) as database:
        # Readers and the one writer do not block each other.
        database.execute("PRAGMA journal_mode = WAL")


def _aodh_sections(data: DataDir, paste: str) -> Sections:
    return {
        "DEFAULT": {
            "transport_url": inprocess.URL,
            "control_exchange": "aodh",
            "log_file": str(data.log),
            "log_rotation_type": "size",
            "max_logfile_size_mb": "10",
            "max_logfile_count": "2",
        },
        "database": {"connection": f"sqlite:///{data.database}", "max_retries": "1"},
        "api": {"auth_mode": "noauth", "paste_config": paste},
        # On one machine every alarm may be profiled.
        "eventalarm": {"profile_sampling": "1"},
        # Consumers of webhooks and notifications are on this machine.
        "eventalarm_delivery": {"allow_networks": "127.0.0.0/8,::1/128"},
        "eventalarm_ifa": {
            "auth_mode": "noauth",
            "callback_deny_networks": "169.254.0.0/16,fe80::/10",
            "credentials_key": _credentials_key(data),
        },
        "eventalarm_ingest": {"auth_mode": "noauth"},
        # There is no Nova to ask: where servers run comes from their notifications.
        "eventalarm_inspector": {"snapshot_interval": "0"},
        "oslo_policy": {"policy_file": str(data.path / "policy.yaml")},
    }


def _credentials_key(data: DataDir) -> str:
    """Return the key, which must outlast the process, as what it encrypts does."""
    path = data.credentials_key
    if not path.exists():
        # A process that is killed here must not leave half a key.
        made = path.with_suffix(".new")
        made.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
        made.replace(path)
    return path.read_text().strip()


def _ceilometer_sections(data: DataDir) -> Sections:
    return {
        "DEFAULT": {
            "transport_url": inprocess.URL,
            "control_exchange": "ceilometer",
            "event_pipeline_cfg_file": str(data.event_pipeline),
        },
        "event": {"definitions_cfg_file": str(data.event_definitions)},
        "notification": {"pipelines": "event"},
    }


def _write(path: pathlib.Path, sections: Sections) -> None:
    lines = [HEADER]
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines.extend(f"{name} = {value.replace('$', '$$')}" for name, value in options.items())
        lines.append("")
    path.write_text("\n".join(lines))
