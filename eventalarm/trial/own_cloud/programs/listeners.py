"""The listeners of a cloud of its own, which are killed, suspended and started again."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Mapping, Sequence

import psutil

from eventalarm.trial.own_cloud.programs.cloud import Cloud
from eventalarm.trial.own_cloud.programs.processes import Process


class Listener:
    """One ``eventalarm-listener``, restarted by a supervisor if it dies."""

    def __init__(self, cloud: Cloud, conf_path: pathlib.Path, env: Mapping[str, str] | None = None) -> None:
        self._cloud = cloud
        self._conf_path = conf_path
        self._env = env
        self._process: Process | None = None

    def start(self, *, wait: bool = False, prefix: Sequence[str] = ()) -> None:
        """Start it, with the command *prefix* if given; with *wait*, return once it takes messages."""
        self._process = self._cloud.start_listener(
            "--config-file", str(self._conf_path), wait=wait, prefix=prefix, env=self._env
        )

    @property
    def is_started(self) -> bool:
        """True once it was started, even if it died."""
        return self._process is not None

    @property
    def process(self) -> Process:
        """The program that is running."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """SIGKILL it and its worker."""
        self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its worker."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def memory(self) -> int:
        """Return the resident bytes of its largest process; 0 while it is dead."""
        sizes = [0]
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            for one in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    sizes.append(one.memory_info().rss)
        return max(sizes)
