"""The publisher against a real RabbitMQ: nothing lost, nothing reordered, nothing stuck."""

from __future__ import annotations

import logging
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from ceilometer.pipeline.event import EventPipelineManager
from oslo_config import cfg

from eventalarm import bus
from eventalarm.exceptions import PublishError
from eventalarm.publisher.event_eval import EventEvalPublisher
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.helpers import TopicListener, wait_until
from tests.support.telemetry import ceilometer_options, load_publisher, make_ceilometer_event

QUEUE = "event_eval.sample"
QUORUM = "rabbit_quorum_queue=true"
KINDS = pytest.mark.parametrize("kind", ["quorum", "classic"])
Load = Callable[..., EventEvalPublisher]
Listen = Callable[..., TopicListener]


@pytest.fixture
def conf(rabbit_url: str) -> cfg.ConfigOpts:
    return ceilometer_options(rabbit_url)


@pytest.fixture
def load(conf: cfg.ConfigOpts) -> Iterator[Load]:
    loaded: list[EventEvalPublisher] = []

    def make(query: str = "", kind: str = "classic") -> EventEvalPublisher:
        options = [query] if query else []
        if kind == "quorum":
            options.append(QUORUM)
        loaded.append(load_publisher(conf, f"eventalarm://?{'&'.join(options)}"))
        return loaded[-1]

    yield make
    for one in loaded:
        one.close()


@pytest.fixture
def listen(conf: cfg.ConfigOpts) -> Iterator[Listen]:
    started: list[TopicListener] = []

    def start(kind: str = "classic") -> TopicListener:
        options = {"rabbit_quorum_queue": "true"} if kind == "quorum" else {}
        started.append(TopicListener(bus.get_transport(conf, prefetch=100, options=options)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def publish(publisher: EventEvalPublisher, *numbers: int, raw: int = 0) -> None:
    publisher.publish_events(
        [make_ceilometer_event(f"m{number}", {"x": "y" * raw} if raw else None) for number in numbers]
    )


@KINDS
def test_events_arrive_in_order_through_a_durable_queue(
    rabbitmq: RabbitMQ, rabbit_url: str, load: Load, listen: Listen, kind: str
) -> None:
    publisher = load(kind=kind)
    for number in range(50):
        publish(publisher, number)
    queue = rabbitmq.queues(rabbit_url)[QUEUE]
    assert (queue["durable"], queue["type"]) == (True, kind)
    listener = listen(kind)
    listener.wait(50)
    assert listener.ids == [f"m{number}" for number in range(50)]


@KINDS
def test_killing_the_broker_while_publishing_loses_nothing(
    rabbitmq: RabbitMQ,
    rabbit_url: str,
    load: Load,
    listen: Listen,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = load(kind=kind)
    published: list[str] = []
    enough = threading.Event()

    def storm() -> None:
        while not enough.is_set():
            publish(publisher, len(published))
            published.append(f"m{len(published)}")

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        # A RabbitMQ 3.10 that dies in the first second of a quorum queue's life never has that queue again;
        # the node counts a queue's messages, every few seconds, once it is there to stay.
        wait_until(lambda: rabbitmq.queues(rabbit_url).get(QUEUE, {}).get("messages", 0) > 300)
        rabbitmq.kill()
        wait_until(lambda: "does not accept events" in caplog.text)
        before = len(published)
        rabbitmq.start()
        wait_until(lambda: len(published) > before + 300, 60, "publishing goes on")
    finally:
        rabbitmq.start()
        enough.set()
        thread.join(30)
    listener = listen(kind)
    wait_until(lambda: published[-1] in listener.ids, what="the last event")
    assert set(published) <= set(listener.ids)
    assert list(dict.fromkeys(listener.ids)) == published
    mine = [record.message for record in caplog.records if record.name.startswith("eventalarm")]
    assert [
        sum(words in line for line in mine) for words in ("does not accept events", "accepts events again")
    ] == [
        1,
        1,
    ]


def test_policy_queue_delivers_what_was_published_meanwhile(
    rabbitmq: RabbitMQ, load: Load, listen: Listen
) -> None:
    publisher = load("policy=queue&max_queue_length=5")
    publish(publisher, 0)
    rabbitmq.kill()
    for number in range(1, 9):
        publish(publisher, number)
    rabbitmq.start()
    listener = listen()
    newest = ["m4", "m5", "m6", "m7", "m8"]
    wait_until(lambda: listener.ids[-5:] == newest, what="the newest")
    # Besides them, perhaps, the one that was being sent when the broker went away.
    assert listener.ids[:-5] in (["m0"], ["m0", "m1"])


def test_policy_drop_survives_an_unnoticed_restart(rabbitmq: RabbitMQ, load: Load, listen: Listen) -> None:
    publisher = load("policy=drop")
    publish(publisher, 0)
    rabbitmq.kill()
    rabbitmq.start()
    publish(publisher, 1)
    listener = listen()
    listener.wait(2)
    assert listener.ids == ["m0", "m1"]


def test_max_retry_ends_the_wait(rabbitmq: RabbitMQ, load: Load) -> None:
    publisher = load("max_retry=2")
    publish(publisher, 0)
    rabbitmq.kill()
    with pytest.raises(PublishError):
        publish(publisher, 1)


@KINDS
def test_a_message_too_large_for_the_broker_is_split(
    rabbitmq: RabbitMQ,
    load: Load,
    listen: Listen,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = "application:set_env(rabbit,max_message_size,{})."
    original = rabbitmq.ctl("eval", "{ok,N}=application:get_env(rabbit,max_message_size),N.").strip()
    rabbitmq.ctl("eval", limit.format(20_000))
    try:
        publisher = load(kind=kind)
        publish(publisher, *range(10), raw=3000)
        publish(publisher, 10, raw=30_000)
        publisher.publish_events([make_ceilometer_event("m11", state="z" * 30_000)])
        publish(publisher, 12)
    finally:
        rabbitmq.ctl("eval", limit.format(original))
    listener = listen(kind)
    wait_until(lambda: "m12" in listener.ids, what="the event behind the too large one")
    assert listener.ids == [f"m{number}" for number in [*range(11), 12]]
    sizes = [len(message["payload"]) for message in listener.messages]
    assert 1 < max(sizes) < 10
    raws = {
        event["message_id"]: event["raw"] for message in listener.messages for event in message["payload"]
    }
    assert raws["m9"]
    assert raws["m10"] == {}
    (lost,) = [record for record in caplog.records if "m11" in record.message]
    assert lost.message.startswith("Dropped event ")
    assert not any("zzz" in record.message for record in caplog.records if record.levelno > logging.DEBUG)


def test_a_queue_declared_otherwise_is_explained(load: Load) -> None:
    publish(load(kind="quorum"), 0)
    with pytest.raises(PublishError, match="same rabbit_quorum_queue"):
        publish(load("max_retry=0"), 1)


def test_a_refused_login_is_reported_without_the_password(
    conf: cfg.ConfigOpts, rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = f"eventalarm://pifpaf:wr0ng@127.0.0.1:{rabbitmq.info['port']}/?max_retry=0"
    publisher = load_publisher(conf, wrong)
    with pytest.raises(PublishError, match="ACCESS_REFUSED"):
        publish(publisher, 0)
    publisher.close()
    assert "wr0ng" not in caplog.text


@pytest.fixture
def silent_broker() -> Iterator[str]:
    """The address of a broker that accepts connections and never responds."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("policy", ["queue", "drop"])
@pytest.mark.parametrize("first", [True, False])
def test_other_publishers_of_the_sink_do_not_wait_for_our_broker(
    conf: cfg.ConfigOpts,
    tmp_path: pathlib.Path,
    silent_broker: str,
    policy: str,
    first: bool,
    figure: Callable[[str], None],
) -> None:
    """With Ceilometer's own pipeline and its number of threads. Fails with a lock around the sending."""
    out = tmp_path / "out.log"
    ours = f"eventalarm://u:p@{silent_broker}/x?policy={policy}&heartbeat_timeout_threshold=2"
    publishers = [ours, f"file://{out}"] if first else [f"file://{out}", ours]
    source = {"name": "s", "events": ["*"], "sinks": ["out"]}
    path = tmp_path / "event_pipeline.yaml"
    path.write_text(
        yaml.safe_dump({"sources": [source], "sinks": [{"name": "out", "publishers": publishers}]})
    )
    conf.set_override("event_pipeline_cfg_file", str(path))
    publish_to = EventPipelineManager(conf).publisher()

    def take(number: int) -> None:
        with publish_to as publishing:
            publishing(make_ceilometer_event(f"m{number}"))

    begun = time.monotonic()
    pool = ThreadPoolExecutor(conf.max_parallel_requests)
    try:
        for number in range(100):
            pool.submit(take, number)
        wait_until(lambda: out.exists() and out.read_text().count("message_id") >= 100, 60, "100 in the file")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    place = "first" if first else "last"
    figure(f"policy={policy}, ours {place}: 100 of 100 in {time.monotonic() - begun:.1f} s, broker silent")
