"""The plugins of the stage ``own-cloud``, as ``eventalarm-trial`` finds them.

The modules behind need the extra ``trial``, so they are imported when a scenario names them.
"""

from __future__ import annotations

import importlib
from typing import Any

from eventalarm.exceptions import InvalidOption
from eventalarm.trial.plugins import Context, Options

PACKAGE = "eventalarm.trial.own_cloud"


def _found(module: str, name: str) -> Any:
    """Return a member of a module.

    :raises InvalidOption: if a library of the extra is not installed.
    """
    try:
        return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    except ModuleNotFoundError as exc:
        remedy = "pip install 'eventalarm[trial,mysql,postgresql]'"
        raise InvalidOption("own-cloud", f"needs the module {exc.name}", remedy) from exc


def stage(context: Context, options: Options) -> Any:
    """Return the stage ``own-cloud``."""
    return _found("trial_stage", "OwnCloud")(context, options)


def stories(context: Context, options: Options) -> Any:
    """Return the runner ``own-stories``."""
    return _found("trial_runners", "StoriesRunner")(context, options)


def users(context: Context, options: Options) -> Any:
    """Return the runner ``own-users``."""
    return _found("trial_runners", "UsersRunner")(context, options)


def backlog(context: Context, options: Options) -> Any:
    """Return the monitor ``own-backlog``."""
    return _found("trial_monitors", "BacklogMonitor")(context, options)


def listener(context: Context, options: Options) -> Any:
    """Return the disruptor ``own-listener``."""
    return _found("trial_disruptors", "listener")(context, options)


def broker(context: Context, options: Options) -> Any:
    """Return the disruptor ``own-broker``."""
    return _found("trial_disruptors", "broker")(context, options)


def database(context: Context, options: Options) -> Any:
    """Return the disruptor ``own-database``."""
    return _found("trial_disruptors", "database")(context, options)


def link(context: Context, options: Options) -> Any:
    """Return the disruptor ``own-link``."""
    return _found("trial_disruptors", "link")(context, options)


def consumer(context: Context, options: Options) -> Any:
    """Return the disruptor ``own-consumer``."""
    return _found("trial_disruptors", "consumer")(context, options)
