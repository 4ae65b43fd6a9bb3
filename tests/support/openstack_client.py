"""The ``openstack`` client in the test's own process, which spares the seconds of its imports."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from unittest import mock

import oslo_i18n
from openstackclient.shell import OpenStackShell
from osc_lib.clientmanager import ClientCache, ClientManager

from tests.support import inprocess


def openstack(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``openstack``; return its output.

    :param env: replaces all variables of the environment that begin with ``OS_``.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_separate_logging())
        _forget_clients()
        # Importing Heat makes translations lazy in the whole process, with which some clients do not load.
        oslo_i18n.enable_lazy(enable=False)
        if env is not None:
            others = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
            stack.enter_context(mock.patch.dict(os.environ, {**others, **env}, clear=True))
        return inprocess.run(lambda given: OpenStackShell().run(list(given)), *words)


def _forget_clients() -> None:
    """Drop the API clients, with their endpoints, that an earlier call left in the class."""
    for cache in vars(ClientManager).values():
        if isinstance(cache, ClientCache):
            cache._handle = None


@contextlib.contextmanager
def _separate_logging() -> Iterator[None]:
    """Give the shell a root logger without handlers, as in a process of its own, and drop what it adds.

    A handler that an earlier test left behind writes to a closed stream, which logging reports on stderr.
    """
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = before
        root.setLevel(level)
