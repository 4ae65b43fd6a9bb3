"""``eventalarm-standalone`` as a person uses it: a process, its port, its data directory, aodhclient."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.cmd import profile as profile_command
from eventalarm.standalone import sample
from tests.support.helpers import WebhookSink, wait_until
from tests.support.openstack_client import openstack
from tests.support.standalone import Standalone, notification, running
from tests.support.walkthrough import tenant


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("standalone")
    with running(folder / "data", folder / "log") as one:
        yield one


def test_a_fault_raises_and_its_recovery_clears(standalone: Standalone, webhook_sink: WebhookSink) -> None:
    server, client = str(uuid.uuid4()), standalone.client()
    alarm_id = standalone.watch(webhook_sink.url("/bad"), server, ok_actions=[webhook_sink.url("/good")])
    before = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

    status, answer = standalone.post(notification(server, "error"))
    (raised,) = webhook_sink.wait(1, "/bad")

    assert status == 202
    assert (raised.json["alarm_id"], raised.json["current"]) == (alarm_id, "alarm")
    event = raised.json["reason_data"]["event"]
    assert event["message_id"] == answer["message_id"]
    assert ["state", 1, "error"] in event["traits"]
    alarm = client.alarm.get(alarm_id)
    assert alarm["state"] == "alarm"
    assert datetime.datetime.fromisoformat(alarm["state_timestamp"]) >= before
    newest = client.alarm_history.get(alarm_id)[0]
    assert newest["type"] == "state transition"
    assert json.loads(newest["detail"])["state"] == "alarm"

    standalone.post(notification(server, "active"))
    (cleared,) = webhook_sink.wait(1, "/good")

    assert (cleared.json["previous"], cleared.json["current"]) == ("alarm", "ok")
    assert client.alarm.get(alarm_id)["state"] == "ok"
    assert len(webhook_sink.requests) == 2


def test_the_same_message_fires_once(standalone: Standalone, webhook_sink: WebhookSink) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    for server in (first, second):
        standalone.watch(webhook_sink.url(f"/{server}"), server, repeat_actions=True)
    same = notification(first, "error", message_id=str(uuid.uuid4()))

    answers = [standalone.post(same), standalone.post(same), standalone.post(notification(second, "error"))]

    # The bus keeps the order, so that the third webhook implies that the second post was evaluated.
    webhook_sink.wait(1, f"/{second}")
    assert [status for status, _ in answers] == [202, 202, 202]
    assert answers[0][1]["message_id"] == same["message_id"]
    assert len(webhook_sink.at(f"/{first}")) == 1


def test_a_recorded_message_is_accepted_unchanged(standalone: Standalone, webhook_sink: WebhookSink) -> None:
    server = str(uuid.uuid4())
    standalone.watch(webhook_sink.url("/hook"), server)
    inner = sample.sent_now(notification(server, "error"), datetime.datetime.now(datetime.UTC))

    status, answer = standalone.post({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}, "nova")

    (hook,) = webhook_sink.wait(1, "/hook")
    assert (status, answer["message_id"]) == (202, inner["message_id"])
    generated = datetime.datetime.fromisoformat(hook.json["reason_data"]["event"]["generated"])
    assert generated == datetime.datetime.fromisoformat(inner["timestamp"])


def test_the_event_definitions_of_eventalarm_apply(standalone: Standalone, webhook_sink: WebhookSink) -> None:
    """Ceilometer's own definitions have neither the owner nor the status of a port."""
    port = str(uuid.uuid4())
    rule = {
        "event_type": "port.create.end",
        "query": [
            {"field": "traits.port_id", "op": "eq", "type": "string", "value": port},
            {"field": "traits.status", "op": "eq", "type": "string", "value": "DOWN"},
        ],
    }
    alarm = {"name": "port-down", "type": "event", "event_rule": rule}
    standalone.client().alarm.create(alarm | {"alarm_actions": [webhook_sink.url("/port")]})
    ports = [{"id": one, "project_id": sample.project(), "status": "DOWN"} for one in (port, "another")]
    made = {"event_type": "port.create.end", "publisher_id": "network.net1", "payload": {"ports": ports}}

    assert standalone.post(made, "neutron")[0] == 202

    (hook,) = webhook_sink.wait(1, "/port")
    assert ["project_id", 1, sample.project()] in hook.json["reason_data"]["event"]["traits"]


def test_changed_event_definitions_are_kept(tmp_path: pathlib.Path, webhook_sink: WebhookSink) -> None:
    data = tmp_path / "data"
    data.mkdir()
    definition = {"event_type": "own.fault", "traits": {"project_id": {"fields": "payload.owner"}}}
    (data / "event_definitions.yaml").write_text(json.dumps([definition]))
    with running(data, tmp_path / "log") as one:
        rule = {"event_type": "own.fault", "query": []}
        alarm = {"name": "own", "type": "event", "event_rule": rule}
        one.client().alarm.create(alarm | {"alarm_actions": [webhook_sink.url("/own")]})
        one.post(
            {"event_type": "own.fault", "publisher_id": "x", "payload": {"owner": sample.project()}}, "nova"
        )
        webhook_sink.wait(1, "/own")
    assert "port.*.end" in (data / "event_definitions.yaml").read_text()


def test_another_project_sees_neither_alarm_nor_fault(
    standalone: Standalone, webhook_sink: WebhookSink
) -> None:
    server, other = str(uuid.uuid4()), uuid.uuid4().hex
    alarm_id = standalone.watch(webhook_sink.url("/hook"), server)
    payload = {**notification(server, "error")["payload"], "tenant_id": other}

    standalone.post({**notification(server, "error"), "payload": payload})
    standalone.post(notification(server, "error"))

    (hook,) = webhook_sink.wait(1, "/hook")
    traits = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    assert traits["tenant_id"] == sample.project()
    assert alarm_id not in [alarm["alarm_id"] for alarm in standalone.client(other).alarm.list()]


GOOD = notification("server", "error")


@pytest.mark.parametrize(
    ("body", "exchange", "status", "field"),
    [
        (b"{", None, 400, "body"),
        ([], None, 400, "body"),
        (b"\xff\xfe", None, 400, "body"),
        ({**GOOD, "payload": "text"}, None, 400, "payload"),
        ({**GOOD, "event_type": ""}, None, 400, "event_type"),
        ({**GOOD, "publisher_id": None}, None, 400, "publisher_id"),
        ({**GOOD, "message_id": 7}, None, 400, "message_id"),
        ({**GOOD, "timestamp": "yesterday"}, None, 400, "timestamp"),
        ({**GOOD, "priority": "loud"}, None, 400, "priority"),
        ({"oslo.message": "no"}, None, 400, "oslo.message"),
        (GOOD, "nowhere", 400, "exchange"),
        ({**GOOD, "payload": {"padding": "x" * 1024 * 1024}}, None, 413, "body"),
    ],
)
def test_a_bad_body_is_refused_by_field(
    standalone: Standalone, body: object, exchange: str | None, status: int, field: str
) -> None:
    code, answer = standalone.post(body, exchange)

    assert (code, answer["field"]) == (status, field)
    assert answer["message"].startswith(f"{field}: ")


def test_only_declared_json_is_posted(standalone: Standalone) -> None:
    code, answer = standalone.post(GOOD, **{"Content-Type": "text/plain"})
    assert (code, answer["field"]) == (415, "Content-Type")

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{standalone.endpoint}/notifications", timeout=10)
    assert (caught.value.code, caught.value.headers["Allow"]) == (405, "POST")
    caught.value.close()


def test_the_printed_commands_work(standalone: Standalone, webhook_sink: WebhookSink) -> None:
    text = standalone.process.text()
    alarm, host_alarm = re.findall(r"openstack alarm create (?:.*\\\n)*.*", text)
    exports = re.findall(r"export .*", text)
    posts = [f"{post} --fail --silent --show-error" for post in re.findall(r"curl .*", text)]
    assert exports, text
    assert len(posts) == 4
    create = [
        one.replace("http://127.0.0.1:9000/", webhook_sink.url(path))
        for one, path in ((alarm, "/hook"), (host_alarm, "/host"))
    ]
    script = "\n".join(["set -e", *exports, create[0], *posts[:2], create[1], *posts[2:]])
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(standalone.data_dir)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    hooks = webhook_sink.wait(2, "/hook")
    assert [hook.json["current"] for hook in hooks] == ["alarm", "ok"]
    hooks = webhook_sink.wait(2, "/host")
    assert [hook.json["current"] for hook in hooks] == ["alarm", "ok"]
    assert ["is_root_cause", 1, "False"] in hooks[0].json["reason_data"]["event"]["traits"]


def test_data_survive_a_clean_stop_and_a_webhook_an_absent_consumer(
    tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    data, server = tmp_path / "data", str(uuid.uuid4())
    webhook_sink.behave("/hook", statuses=[503, 200], headers={"Retry-After": "2"})
    consent = ["--host", "0.0.0.0", "--i-know-there-is-no-authentication"]
    with running(data, tmp_path / "first", *consent) as one:
        alarm_id = one.watch(webhook_sink.url("/hook"), server)
        one.post(notification(server, "error"))
        webhook_sink.wait(1, "/hook")
        assert one.process.terminate() == 0
        assert "the data is kept" in one.process.text()

    with running(data, tmp_path / "second") as again:
        assert again.client().alarm.get(alarm_id)["state"] == "alarm"
        refusals = webhook_sink.wait(2, "/hook")
        assert len({hook.headers["X-Eventalarm-Delivery-Id"] for hook in refusals}) == 1
        again.process.popen.send_signal(signal.SIGINT)
        assert again.process.wait(30) == 0


def test_accepted_messages_are_evaluated_before_a_clean_stop(
    tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    data, server = tmp_path / "data", str(uuid.uuid4())
    with running(data, tmp_path / "first") as one:
        alarm_id = one.watch(webhook_sink.url("/hook"), server)
        # Accepted faster than they are converted, so that the last one waits behind the others.
        others = [notification(str(uuid.uuid4()), "error") for _ in range(400)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            assert {status for status, _ in pool.map(one.post, others)} == {202}
        one.post(notification(server, "error"))
        assert one.process.terminate() == 0

    with running(data, tmp_path / "second") as again:
        wait_until(lambda: again.client().alarm.get(alarm_id)["state"] == "alarm", 5, "the alarm")
        webhook_sink.wait(1, "/hook")


def test_a_fault_is_profiled_from_its_reporter_to_what_its_consumer_did(
    standalone: Standalone, webhook_sink: WebhookSink, capsys: pytest.CaptureFixture[str]
) -> None:
    """Red when a stage is not stamped, or the result of the attempt erases what the consumer added."""
    server, began = str(uuid.uuid4()), datetime.datetime.now(datetime.UTC)
    alarm_id = standalone.watch(webhook_sink.url("/profiled"), server)

    def ask(path: str, body: object = None, roles: str = "member,reader") -> Any:
        headers = {"X-Project-Id": sample.project(), "X-User-Id": "u", "X-Roles": roles}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            standalone.endpoint + path, data, {**headers, "Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    seen = {"name": "link down", "time": (began - datetime.timedelta(seconds=1)).isoformat()}
    details: dict[str, Any] = {"project_id": sample.project(), "instance_id": server, "state": "error"}
    event: dict[str, Any] = {"time": began.isoformat(), "type": "compute.instance.update"}
    event |= {"details": {**details, "profile": "true", "checkpoints": [seen]}}
    ask("/v1/events", {"event": event}, roles="service")
    (hook,) = webhook_sink.wait(1, "/profiled")
    done = {"name": "switched over", "time": datetime.datetime.now(datetime.UTC).isoformat()}
    name = hook.headers["X-Eventalarm-Delivery-Id"]
    assert ask("/v1/handled", {"delivery_id": name, "checkpoints": [done]}) == {"recorded": True}

    def found() -> Any:
        (one,) = ask(f"/v1/profiles?alarm_id={alarm_id}")
        return one if one["state"] == "delivered" else None

    shown = wait_until(found)
    assert (shown["first_checkpoint"], shown["delivery_id"]) == ("link down", name)
    stages = {one["checkpoint"]: one for one in shown["stages"]}
    assert list(stages) == [
        *("generated", "published", "received", "matched", "committed", "sent", "answered", "switched over")
    ]
    assert stages["published"]["component"] == "ingest API"
    assert stages["generated"]["seconds"] == pytest.approx(1.0)
    assert sum(one["percent"] for one in shown["stages"]) == pytest.approx(100.0)
    arguments = ["--alarm", alarm_id, f"--config-file={standalone.data_dir / 'aodh.conf'}"]
    assert profile_command.main(arguments) == 0
    assert "switched over" in capsys.readouterr().out
    env = tenant(standalone.endpoint, "member,reader")
    rows = json.loads(openstack("eventalarm", "profile", alarm_id, "-f", "json", env=env).stdout)
    assert {row["Checkpoint"] for row in rows} == set(stages)
    assert [row["ms"] for row in rows] == sorted((row["ms"] for row in rows), reverse=True)
