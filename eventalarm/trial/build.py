"""From a scenario to its plugins: files are found by name, plugins by stevedore."""

from __future__ import annotations

import importlib.resources
import pathlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from eventalarm.trial.fields import InvalidScenario
from eventalarm.trial.history.records import History
from eventalarm.trial.plugins import (
    DISRUPTOR,
    MONITOR,
    RUNNER,
    STAGE,
    Context,
    Disruptor,
    Monitor,
    Runner,
    Stage,
)
from eventalarm.trial.scenario import Part, Scenario, parse

SUFFIX: Final = ".yaml"
MOST_BYTES: Final = 2**20
Find = Callable[[str, Part], Callable[..., Any]]


@dataclass(frozen=True)
class Setup:
    """What the command line adds to a scenario."""

    seed: int
    directory: pathlib.Path
    state: pathlib.Path
    permitted: frozenset[str] = frozenset()
    ignore_health: bool = False
    say: Callable[[str], None] = lambda text: None
    clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class Built:
    """The plugins of a scenario, which have touched nothing; *disruptors* are in the order of the file."""

    scenario: Scenario
    setup: Setup
    history: History
    stage: Stage
    disruptors: Sequence[Disruptor]
    runners: Mapping[str, Runner] = field(default_factory=dict)
    monitors: Mapping[str, Monitor] = field(default_factory=dict)

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that are broken by it."""
        return frozenset(host for one in self.disruptors for host in one.effect.hosts)


def shipped() -> list[str]:
    """Return the names of the scenarios of the package."""
    folder = importlib.resources.files("eventalarm.trial").joinpath("scenarios")
    return sorted(one.name.removesuffix(SUFFIX) for one in folder.iterdir() if one.name.endswith(SUFFIX))


def text_of(name: str) -> str:
    """Return the text of a shipped scenario, or of a file.

    :raises InvalidScenario: if there is neither.
    """
    if name in shipped():
        path = importlib.resources.files("eventalarm.trial").joinpath("scenarios", f"{name}{SUFFIX}")
        return path.read_text(encoding="utf-8")
    try:
        with pathlib.Path(name).open(encoding="utf-8") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        remedy = f"name a file, or one of {', '.join(shipped()) or 'none'}"
        raise InvalidScenario(name, str(reason), remedy) from exc
    if len(text) > MOST_BYTES:
        raise InvalidScenario(name, f"larger than {MOST_BYTES} bytes", "write a shorter one")
    return text


def load(name: str) -> Scenario:
    """Return a shipped scenario, or that of a file.

    :raises InvalidScenario: naming the field that is wrong, or the line that is not YAML.
    """
    try:
        document = yaml.safe_load(text_of(name))
    except yaml.YAMLError as exc:
        raise InvalidScenario(name, " ".join(str(exc).split()), "correct the YAML") from exc
    return parse(document, pathlib.Path(name).name.removesuffix(SUFFIX))


def find(namespace: str, part: Part) -> Callable[..., Any]:
    """Return the factory of a plugin.

    :raises InvalidScenario: if there is none of this name.
    """
    from stevedore import driver, exception  # noqa: PLC0415 - not needed for --help

    try:
        manager: Any = driver.DriverManager(namespace, part.use, warn_on_missing_entrypoint=False)
    except exception.NoMatches as exc:
        remedy = f"choose one of {', '.join(names_in(namespace)) or 'none'}, or install its package"
        raise InvalidScenario(f"{part.where}.use", f"no plugin {part.use!r} in {namespace}", remedy) from exc
    factory: Callable[..., Any] = manager.driver
    return factory


def names_in(namespace: str) -> list[str]:
    """Return the names of the plugins that are installed."""
    from stevedore import extension  # noqa: PLC0415 - not needed for --help

    return sorted(extension.ExtensionManager(namespace, invoke_on_load=False).entry_points_names())


def build(scenario: Scenario, setup: Setup, find_plugin: Find = find) -> Built:
    """Return the plugins of a scenario.

    :raises InvalidScenario: naming the part and its field that is wrong.
    """
    history = History()

    def context(part: Part, stage: Stage | None = None) -> Context:
        return Context(
            history=history,
            chance=random.Random(f"{setup.seed} {part.where}"),  # noqa: S311 - no secret
            directory=setup.directory,
            clock=setup.clock,
            say=setup.say,
            name=part.name,
            stage=stage,
            permitted=setup.permitted,
            ignore_health=setup.ignore_health,
            state=setup.state,
        )

    stage = find_plugin(STAGE, scenario.stage)(context(scenario.stage), scenario.stage.options)

    def made(namespace: str, parts: Iterable[Part]) -> list[Any]:
        return [find_plugin(namespace, part)(context(part, stage), part.options) for part in parts]

    return Built(
        scenario,
        setup,
        history,
        stage,
        made(DISRUPTOR, (one.part for one in scenario.disruptions())),
        dict(zip((one.name for one in scenario.runners), made(RUNNER, scenario.runners), strict=True)),
        dict(zip((one.name for one in scenario.monitors), made(MONITOR, scenario.monitors), strict=True)),
    )
