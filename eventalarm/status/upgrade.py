"""``eventalarm-status upgrade check``, which operators run before they restart upgraded services."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from eventalarm import conf as options
from eventalarm import service
from eventalarm.exceptions import EventAlarmError
from eventalarm.storage import schema


def unknown_options(conf: cfg.ConfigOpts) -> list[str]:
    """Return the options of our groups in the configuration files that this release does not know."""
    known = {
        group: {name for opt in opts for name in (opt.name, opt.dest, *_deprecated(opt))}
        for group, opts in options.list_opts()
    }
    found: dict[str, None] = {}
    for path in conf.config_file or []:
        sections: dict[str, dict[str, list[str]]] = {}
        with contextlib.suppress(cfg.ParseError, OSError):
            cfg.ConfigParser(path, sections).parse()
        for group, names in known.items():
            for name in sections.get(group, {}):
                if name not in names and name.replace("-", "_") not in names:
                    found[f"[{group}] {name}"] = None
    return list(found)


def _deprecated(opt: Any) -> list[str]:
    return [old.name for old in opt.deprecated_opts if old.name]


ORDER: Final = (
    "eventalarm-dbsync of the new release, on one host",
    "eventalarm-listener and eventalarm-inspector, one host after the other",
    "eventalarm-ifa-api and eventalarm-ingest-api",
    "ceilometer-agent-notification, in whose environment the publisher is installed",
)


def still_to_do(status: schema.SchemaStatus) -> Sequence[str]:
    """Return what remains to be upgraded or restarted, in this order."""
    return ORDER[1:] if status.usable else ORDER


class Checks(upgradecheck.UpgradeCommands):
    """The checks, in the form of oslo.upgradecheck; ``check()`` prints a table and returns the exit code."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    def _status(self) -> schema.SchemaStatus:
        database = service.database(self._conf)
        try:
            return schema.check(database)
        finally:
            database.dispose()

    def _schema(self) -> Any:
        try:
            status = self._status()
        except EventAlarmError as exc:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, str(exc))
        if status.state is schema.SchemaState.AHEAD:
            return upgradecheck.Result(upgradecheck.Code.WARNING, status.message)
        code = upgradecheck.Code.SUCCESS if status.usable else upgradecheck.Code.FAILURE
        return upgradecheck.Result(code, status.message)

    def _order(self) -> Any:
        try:
            status = self._status()
        except EventAlarmError:
            left: Sequence[str] = ORDER
            code = upgradecheck.Code.FAILURE
        else:
            left, code = still_to_do(status), upgradecheck.Code.SUCCESS
        numbered = "; ".join(f"{number}. {task}" for number, task in enumerate(left, 1))
        return upgradecheck.Result(code, f"services of two releases may run side by side; {numbered}")

    def _options(self) -> Any:
        unknown = unknown_options(self._conf)
        if not unknown:
            return upgradecheck.Result(upgradecheck.Code.SUCCESS)
        text = f"options that this release does not know, which have no effect: {', '.join(unknown)}"
        return upgradecheck.Result(upgradecheck.Code.WARNING, text)

    _upgrade_checks = (("Schema", _schema), ("Options", _options), ("Order", _order))
