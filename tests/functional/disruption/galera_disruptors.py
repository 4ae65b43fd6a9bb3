"""What is done to a node of a Galera cluster: killed, desynced, made a donor, isolated, or contended for."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.support.galera import NODES, Galera

# Disrupts a node for as long as its block lasts.
Disrupt = Callable[[Galera, str], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class Disruptor:
    """One kind of disruption; HAProxy must find the node down if it *takes_down* the node."""

    disrupt: Disrupt
    takes_down: bool = True


@contextlib.contextmanager
def killed(cluster: Galera, node: str) -> Iterator[None]:
    """SIGKILL the node; it then returns on its data and receives what it missed (IST)."""
    cluster.kill_one(node)
    try:
        yield
    finally:
        cluster.start_one(node)


@contextlib.contextmanager
def desynced(cluster: Galera, node: str) -> Iterator[None]:
    """Lock the node as a backup does: it leaves flow control, and nothing is applied or committed on it."""
    with cluster.session(node) as cursor:
        cursor.execute("SET GLOBAL wsrep_desync = ON")
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        try:
            yield
        finally:
            cursor.execute("UNLOCK TABLES")
            cursor.execute("SET GLOBAL wsrep_desync = OFF")


@contextlib.contextmanager
def donating(cluster: Galera, node: str) -> Iterator[None]:
    """Let another node lose its data and receive everything from this one (SST)."""
    joiner = next(one for one in reversed(NODES) if one != node)
    cluster.kill_one(joiner)
    cluster.join(joiner, node)
    yield


@contextlib.contextmanager
def isolated(cluster: Galera, node: str) -> Iterator[None]:
    """Cut the node off from the two others: clients still reach it, but it has no majority."""
    cluster.set_provider(node, gmcast__isolate="1")
    try:
        yield
    finally:
        cluster.set_provider(node, gmcast__isolate="0")


@contextlib.contextmanager
def contended(_cluster: Galera, _node: str) -> Iterator[None]:
    """Disturb nothing: only few alarms are fired, and edited meanwhile, see the scenario."""
    yield


CONTENTION: Final = "certification failures"
DISRUPTORS: Final[Mapping[str, Disruptor]] = {
    "killed": Disruptor(killed),
    "desynced": Disruptor(desynced),
    "donor": Disruptor(donating),
    "isolated": Disruptor(isolated),
    CONTENTION: Disruptor(contended, takes_down=False),
}
