"""An event flows through the pipeline of each deployment project, as the real Ceilometer loads it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import yaml
from ceilometer.pipeline.event import EventPipelineManager
from oslo_config import cfg

from eventalarm import bus
from eventalarm.publisher.event_eval import EventEvalPublisher
from tests.support.deployment_projects import PROJECTS
from tests.support.helpers import TopicListener
from tests.support.telemetry import ceilometer_options, make_ceilometer_event


@pytest.fixture
def conf(rabbit_url: str, tmp_path: pathlib.Path) -> cfg.ConfigOpts:
    options = ceilometer_options(rabbit_url)
    options.set_override("event_pipeline_cfg_file", str(tmp_path / "event_pipeline.yaml"))
    return options


@pytest.fixture
def listener(conf: cfg.ConfigOpts) -> Iterator[TopicListener]:
    listener = TopicListener(bus.get_transport(conf))
    yield listener
    listener.close()


@pytest.mark.parametrize("project", PROJECTS)
def test_an_event_flows(
    project: str, conf: cfg.ConfigOpts, listener: TopicListener, tmp_path: pathlib.Path
) -> None:
    """Red with the pipeline that the project has without the override: nothing arrives."""
    _, merged = PROJECTS[project]()
    (tmp_path / "event_pipeline.yaml").write_text(yaml.safe_dump(merged))
    manager = EventPipelineManager(conf)
    loaded = [one for pipeline in manager.pipelines for one in pipeline.sink.publishers]
    (ours,) = [one for one in loaded if isinstance(one, EventEvalPublisher)]
    with manager.publisher() as publish:
        publish(make_ceilometer_event("m1"))
    listener.wait(1)
    assert listener.ids == ["m1"]
    ours.close()
