"""A client that a stock generator makes from our OpenAPI documents reads all responses."""

from __future__ import annotations

import importlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from eventalarm.http import openapi
from eventalarm.ingest import application as ingest_application
from eventalarm.storage import database as storage
from tests.support.helpers import WebhookSink, console_script
from tests.support.ifa_api import ADMIN
from tests.support.ifa_api import DOCUMENT as IFA_DOCUMENT
from tests.support.ifa_server import serving
from tests.support.listening import listening
from tests.support.subscribers import World, bound, fault

WHO = {"X-Project-Id": "project-a", "X-User-Id": "nfvo", "X-Roles": ADMIN}


def generate(document: Mapping[str, Any], folder: pathlib.Path, name: str) -> None:
    """Make the package *name* in *folder*; a warning of the generator is a failure."""
    (folder / f"{name}.json").write_text(json.dumps(document))
    command = [
        console_script("openapi-python-client"),
        "generate",
        "--path",
        f"{name}.json",
        "--meta",
        "none",
    ]
    done = subprocess.run(
        [*command, "--output-path", name, "--fail-on-warning"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    made = tmp_path_factory.mktemp("clients")
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))


@pytest.fixture
def world(our_sqlite_url: str, webhook_sink: WebhookSink) -> Iterator[World]:
    opened = storage.connect(our_sqlite_url)
    made = World(opened, webhook_sink, suspend_after=1.0, probe_interval=0.1)
    with listening(made.api.conf, opened) as made.listener:
        yield made
    opened.dispose()


class Client:
    """The generated package, and one client of it."""

    def __init__(self, package: str, url: str) -> None:
        self._package = package
        made = importlib.import_module(f"{package}.client")
        self._client = made.Client(base_url=url, headers=WHO, raise_on_unexpected_status=True)
        self.models = importlib.import_module(f"{package}.models")

    def call(self, operation: str, *args: Any, **how: Any) -> Any:
        """Return what *operation* (``tag.name``) answers, as the model that the generator made."""
        module = importlib.import_module(f"{self._package}.api.{operation}")
        return module.sync(*args, client=self._client, **how)


def test_a_generated_client_reads_every_answer(
    folder: pathlib.Path, world: World, webhook_sink: WebhookSink
) -> None:
    generate(IFA_DOCUMENT, folder, "generated_ifa")
    alarm_id = world.api.alarm(bound("vm-1"), severity="critical", ok_actions=["log://"])
    world.listener.process(fault("vm-1", cause="two words"))
    webhook_sink.behave("/generated", statuses=[204])
    with serving(world.api) as url:
        client = Client("generated_ifa", url)
        models = client.models

        (alarm,) = client.call("vnffm.list_alarms", filter_="(cont,faultDetails,two words)")
        assert (alarm.id, alarm.perceived_severity.value) == (alarm_id, "CRITICAL")
        one = client.call("vnffm.get_alarm", alarm_id)
        assert one.root_cause_faulty_resource.faulty_resource.resource_id == "vm-1"
        change = models.AlarmModifications(ack_state=models.AckState.ACKNOWLEDGED)
        assert client.call("vnffm.modify_alarm", alarm_id, body=change).ack_state.value == "ACKNOWLEDGED"
        refusal = client.call("vnffm.modify_alarm", alarm_id, body=change)
        assert (type(refusal), refusal.status) == (models.ProblemDetails, 409)
        (listed,) = client.call(
            "ifa.list_ifa_alarms", raised_before=alarm.alarm_raised_time.replace(year=2999)
        )
        assert listed.alarm_id == client.call("ifa.get_ifa_alarm", alarm_id).alarm_id == alarm_id
        entries = client.call("ifa.list_history", alarm_id)
        assert {entry.kind.value for entry in entries} == {"raised", "acknowledged"}
        assert client.call("vnffm.list_versions").api_versions
        assert client.call("default.document").additional_properties["openapi"] == "3.1.0"

        body = models.FmSubscriptionRequest(
            callback_uri=webhook_sink.url("/generated"),
            filter_=models.FmNotificationsFilter(
                perceived_severities=[models.PerceivedSeverityType.CRITICAL]
            ),
        )
        made = client.call("vnffm.subscribe", body=body)
        assert client.call("vnffm.get_subscription", made.id).to_dict() == made.to_dict()
        assert [one.id for one in client.call("vnffm.list_subscriptions")] == [made.id]
        assert client.call("vnffm.get_subscription", "nothing").status == 404

        notifications(world, models, made.id)
        client.call("vnffm.unsubscribe", made.id)
        assert client.call("vnffm.list_subscriptions") == []


def notifications(world: World, models: Any, subscription_id: str) -> None:
    """Trigger every kind of notification, and read each by the model that its discriminator names."""
    world.listener.process(fault("vm-1", state="active"))
    world.listener.process(fault("vm-1"))
    world.received("/generated", 2)
    world.sink.behave("/generated", statuses=[500])
    world.listener.process(fault("vm-1", state="active"))
    world.run_until(lambda: state(world, subscription_id) == "suspended", 20)
    world.sink.behave("/generated", statuses=[204])
    world.run_until(lambda: "AlarmListRebuiltNotification" in kinds(world), 20)
    mapping = IFA_DOCUMENT["components"]["schemas"]["FmNotification"]["discriminator"]["mapping"]
    assert kinds(world) == set(mapping)
    for request in world.posts("/generated"):
        sent = request.json
        model = getattr(models, mapping[sent["notificationType"]].rpartition("/")[2])
        assert set(model.from_dict(sent).to_dict()) == set(sent)
        others = [name for name in mapping if name != sent["notificationType"]]
        for other in others:
            with pytest.raises((KeyError, ValueError)):
                getattr(models, other).from_dict(sent)


def kinds(world: World) -> set[str]:
    return {request.json["notificationType"] for request in world.posts("/generated")}


def state(world: World, subscription_id: str) -> str:
    found = world.listener.notifier._parts.subscribers.store.get(subscription_id)
    return found.state.value if found is not None else ""


def test_a_client_of_the_ingest_api_can_be_generated(folder: pathlib.Path) -> None:
    generate(openapi.load(ingest_application.DOCUMENT_FILE), folder, "generated_ingest")
    package = importlib.import_module("generated_ingest.models")
    accepted = package.Accepted.from_dict({"accepted": 1, "message_ids": ["m"]})
    assert accepted.message_ids == ["m"]
