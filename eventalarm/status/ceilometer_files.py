"""Ceilometer's configuration and event pipeline, read from its files by Ceilometer's own code."""

from __future__ import annotations

import dataclasses
import pathlib
import types
from typing import Any, Final

from oslo_config import cfg

from eventalarm.exceptions import EventAlarmError

CONFIGURATION: Final = pathlib.Path("/etc/ceilometer/ceilometer.conf")

PIPELINE: Final = pathlib.Path("/etc/ceilometer/event_pipeline.yaml")


class UnreadablePipeline(EventAlarmError):
    """The pipeline file cannot be read or is not a pipeline."""


class Refused(EventAlarmError):
    """Ceilometer refuses the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """One pipeline: events of these patterns go to these publishers, in this order."""

    patterns: tuple[str, ...]
    publishers: tuple[str, ...]


def load_flows(path: pathlib.Path) -> list[Flow]:
    """Return the pipelines of a file without loading a publisher.

    :raises UnreadablePipeline: when it cannot be read.
    :raises Refused: when Ceilometer would not work with it.
    """
    from ceilometer import agent  # noqa: PLC0415 - heavy, and not needed without such a file
    from ceilometer.pipeline import event  # noqa: PLC0415

    class Sink(event.EventSink):  # type: ignore[misc]
        """A sink whose publishers are their URLs."""

        def __init__(self, conf: Any, sink: Any, _manager: Any) -> None:
            super().__init__(conf, sink, types.SimpleNamespace(get=lambda url: url))

    class Pipelines(event.EventPipelineManager):  # type: ignore[misc]
        pm_sink = Sink

    try:
        path.read_text(encoding="utf-8")
        found = Pipelines(types.SimpleNamespace(event_pipeline_cfg_file=str(path)))
    except agent.ConfigException as exc:
        raise Refused(exc.msg) from exc
    except Exception as exc:
        text = " ".join(str(exc).split())[:200]
        raise UnreadablePipeline(f"{path}: {type(exc).__name__}: {text}") from exc
    return [
        Flow(tuple(map(str, pipeline.source.events)), tuple(pipeline.publishers))
        for pipeline in found.pipelines
    ]


def configuration(path: pathlib.Path) -> cfg.ConfigOpts:
    """Return the part of Ceilometer's configuration that determines where events are published.

    :raises UnreadablePipeline: when the file cannot be read.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(
        [
            cfg.StrOpt("event_pipeline_cfg_file", default=PIPELINE.name),
            cfg.StrOpt("host", default="localhost"),
        ]
    )
    conf.register_opts([cfg.MultiStrOpt("pipelines", default=["meter", "event"])], group="notification")
    folder = pathlib.Path(f"{path}.d")
    try:
        conf(
            [],
            project="ceilometer",
            default_config_files=[str(path)] if path.exists() else [],
            default_config_dirs=[str(folder)] if folder.is_dir() else [],
        )
    except (cfg.Error, OSError) as exc:
        raise UnreadablePipeline(f"{path}: {' '.join(str(exc).split())[:200]}") from exc
    return conf


def pipeline_file(conf: cfg.ConfigOpts) -> pathlib.Path | None:
    """Return the event pipeline that Ceilometer's configuration names; None for the built-in one."""
    named = pathlib.Path(conf.event_pipeline_cfg_file)
    found = named if named.is_absolute() else PIPELINE.parent / named
    return found if found.exists() else None
