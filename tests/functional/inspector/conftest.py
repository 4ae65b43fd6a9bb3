"""The cloud and the inspectors that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import _supply
from tests.support.helpers import WebhookSink
from tests.support.host_policy import POLICY
from tests.support.house import House
from tests.support.inspector import Inspectors


@pytest.fixture(scope="package")
def house(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[House]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("inspector"), WebhookSink()
    spawn = Programs(folder)
    one = House(spawn, folder, _supply("mariadb", request).with_ours(), rabbitmq.new_url(), sink)
    one.spawn = spawn
    yield one
    one.close()
    spawn.close()
    sink.close()


@pytest.fixture(scope="package")
def crew(house: House, tmp_path_factory: pytest.TempPathFactory) -> Inspectors:
    """The inspectors of all tests here: most need one that runs, whichever test has started it."""
    return Inspectors(house.spawn, tmp_path_factory.mktemp("crew"), house.cloud)


@pytest.fixture
def inspectors(crew: Inspectors, tmp_path_factory: pytest.TempPathFactory) -> Inspectors:
    """Inspectors that know only what events say; with a policy."""
    path = tmp_path_factory.getbasetemp() / "policies.yaml"
    path.write_text(yaml.safe_dump([POLICY]))
    return crew.use(policies=path)
