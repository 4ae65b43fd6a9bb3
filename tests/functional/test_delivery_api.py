"""The ingest API about deliveries: what projects see, retry and replay, on each database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from eventalarm.http.responses import encode_marker
from eventalarm.storage import attempts, tables
from eventalarm.storage import database as storage
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.delivery_replays import DeliveryReplays, StillOwed, TooMany, replayed_id
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.outbox import Outbox
from tests.support import outbox as rows
from tests.support.delivery_rows import SECOND, START, DeliveriesApi, delivery_row, put
from tests.support.engine_harness import alarm_row, insert_alarms

LIST = "/v1/deliveries"
REPLAY = "/v1/deliveries/replay"
SINCE = START.isoformat()


@pytest.fixture
def api(opened: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(opened, page_size=3)
    yield one
    one.close()


@pytest.fixture
def lite(lite_database: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(lite_database, max_replay=4)
    yield one
    one.close()


def statements(database: storage.Database, work: Any) -> list[str]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        if statement != "BEGIN":
            seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    return seen


def test_pages_hold_every_delivery_once_newest_first(api: DeliveriesApi) -> None:
    """Red when deliveries of one moment fall between two pages."""
    made = put(
        api.database, [delivery_row("a", n // 4, "failed" if n % 3 else "delivered") for n in range(11)]
    )
    put(api.database, [delivery_row("b", n) for n in range(3)])
    newest_first = made[::-1]
    assert api.listed(LIST) == newest_first
    assert api.listed(f"{LIST}?limit=2") == newest_first
    failed = [name for name in newest_first if made.index(name) % 3]
    assert api.listed(f"{LIST}?state=failed") == failed
    assert api.listed(f"{LIST}?state=failed,delivered&alarm_id=a-alarm") == newest_first
    assert api.listed(f"{LIST}?destination=https://A.example.org/other") == newest_first
    assert api.listed(f"{LIST}?destination=http://a.example.org") == []
    at = (START + SECOND).isoformat().replace("+", "%2B")
    assert api.listed(f"{LIST}?since={at}&until={at}") == made[7:3:-1]
    everything = api.listed(f"{LIST}?all_projects=true", roles="admin")
    assert sorted(everything) == sorted(made + api.listed(LIST, project="b"))
    assert api.listed(f"{LIST}?project_id=b", roles="admin") == api.listed(LIST, project="b")


def test_a_page_looks_at_a_bounded_number_of_rows(opened: storage.Database) -> None:
    """Red when a filter that matches few rows reads all, or their number changes the statements."""
    few = [delivery_row("a", 0, "failed", alarm_id="rare") for _ in range(2)]
    made = put(opened, few + [delivery_row("a", 1 + n, "failed") for n in range(30)])
    pages = DeliveryPages(opened, scan=8)
    rare = Selection(project_id="a", destination="https://none.example.org:443")
    assert pages.page(rare, None, 5).entries == []
    assert pages.page(rare, None, 5).reached == (START + 23 * SECOND, pages.page(rare, None, 5).reached[1])  # type: ignore[index]
    (oldest, next_oldest) = pages.page(Selection(project_id="a", alarm_id="rare"), None, 5).entries
    assert [oldest.delivery_id, next_oldest.delivery_id] == made[1::-1]
    for wanted in (rare, Selection(project_id="a"), Selection(project_id="a", states=("failed",))):
        numbers = {
            len(statements(opened, lambda w=wanted, n=limit: pages.page(w, None, n))) for limit in (1, 7)
        }
        assert max(numbers) <= 3


def test_one_delivery_is_shown_with_its_attempts_and_without_secrets(api: DeliveriesApi) -> None:
    secret = "https://user:pw@a.example.org/T0K3NT0K3NT0K3NT0K3N?token=s3cr3t#s3cr3t"
    (name,) = put(
        api.database, [delivery_row("a", 0, "failed", action=secret, error="plugin_error: at 10.0.0.1")]
    )
    with api.database.begin() as connection:
        attempts.copy_last(connection, [name], 5)
    shown = api.call("GET", f"{LIST}/{name}").json
    assert shown["action"] == "https://***@a.example.org/***?token=***#***"
    assert shown["destination"] == "https://a.example.org:443"
    assert [one["latency"] for one in shown["attempt_details"]] == [0.125, 0.125]
    text = json.dumps(shown)
    assert not [word for word in ("s3cr3t", "T0K3N", "pw@", "10.0.0.1") if word in text]
    assert api.call("GET", f"{LIST}/{name.upper()}").status_code == 404
    assert api.call("GET", f"{LIST}/{name}", project="b").status_code == 404
    assert api.call("GET", f"{LIST}/{name}", project="b", roles="admin").status_code == 200


def test_a_skipped_delivery_is_listed_and_shown_as_such(lite: DeliveriesApi) -> None:
    error = "superseded: later about the same managed object was owed too"
    skipped = delivery_row("a", 0, "superseded", error=error, attempts=0, latency=None)
    (name, _) = put(lite.database, [skipped, delivery_row("a", 1)])
    assert lite.listed(f"{LIST}?state=superseded") == [name]
    shown = lite.call("GET", f"{LIST}/{name}").json
    assert (shown["state"], shown["error"], shown["attempt_details"]) == ("superseded", error, [])
    assert lite.call("POST", f"{LIST}/{name}/retry").status_code == 409
    (place,) = lite.call("GET", "/v1/destinations").json
    assert (place["delivered"], place["failed"], place["success_rate"]) == (1, 0, 1.0)


def test_only_members_retry_and_only_failed_deliveries(lite: DeliveriesApi) -> None:
    failed, sent = put(lite.database, [delivery_row("a", 0, "failed"), delivery_row("a", 1)])
    path = f"{LIST}/{failed}/retry"
    assert lite.call("POST", path, roles="reader").status_code == 403
    assert lite.call("POST", path, project="b").status_code == 404
    assert lite.call("POST", f"{LIST}/{sent}/retry").status_code == 409
    answer = lite.call("POST", path)
    assert (answer.status_code, answer.json["state"]) == (202, "pending")
    assert lite.call("POST", path).status_code == 409


def drained(database: storage.Database) -> list[str]:
    """Deliver what is owed; return the ids in the order in which they could be sent."""
    outbox, sent = Outbox(database), []
    owner = str(uuid.uuid4())
    outbox.register(owner, "host", rows.LONG)
    while claimed := outbox.claim(owner, 1, overlooked=True):
        sent.append(claimed[0].delivery_id)
        outbox.record(owner, [rows.done(claimed[0])])
    return sent


def test_a_replay_repeats_each_once_in_order_behind_what_is_owed(api: DeliveriesApi) -> None:
    """Red when a repeated request adds something, or a replay overtakes what the action is still owed."""
    bare = "https://a.example.org/hook"
    made = put(
        api.database,
        [delivery_row("a", n, "failed" if n == 1 else "delivered", action=bare) for n in range(4)],
    )
    (owed,) = put(api.database, [delivery_row("a", 9, "pending", action=bare)])
    put(api.database, [delivery_row("b", 1), delivery_row("a", 1, action="https://other.example.org/")])
    body = {"since": SINCE, "destination": "https://a.example.org", "replay_id": str(uuid.uuid4())}
    for _ in range(2):
        answer = api.call("POST", REPLAY, body)
        assert (answer.status_code, answer.json["deliveries"], answer.json["skipped"]) == (202, 4, 0)
    expected = [replayed_id(body["replay_id"], name) for name in made]
    assert drained(api.database) == [owed, *expected]
    again = api.call(
        "POST", REPLAY, body | {"replay_id": str(uuid.uuid4()), "until": (START + SECOND).isoformat()}
    )
    assert again.json["deliveries"] == 2, "a replay is not replayed"
    shown = api.call("GET", f"{LIST}/{expected[1]}").json
    assert (shown["replay_of"], shown["replay_id"]) == (made[1], body["replay_id"])
    assert api.listed(f"{LIST}?replay_id={body['replay_id']}") == expected[::-1]
    assert api.call("GET", f"{LIST}/{made[1]}").json["state"] == "failed", "what is repeated stays as it is"


def test_a_replay_asks_the_alarm_for_a_url_whose_secrets_were_removed(api: DeliveriesApi) -> None:
    secret, gone = "https://a.example.org/?token=s3cr3t", "https://a.example.org/?token=old"
    masked = "https://a.example.org/?token=***"
    alarm = alarm_row(alarm_id="known", project_id="a", rule={}, alarm_actions=[secret])
    insert_alarms(api.database, alarm)
    put(
        api.database,
        [
            delivery_row("a", n, alarm_id="known", action=masked, order_key=order_key("known", action))
            for n, action in enumerate((secret, gone))
        ],
    )
    done = api.call("POST", REPLAY, {"since": SINCE, "alarm_id": "known"}).json
    assert (done["deliveries"], done["skipped"]) == (1, 1)
    with api.database.read() as connection:
        query = sa.select(tables.delivery.c.action).where(tables.delivery.c.replay_id == done["replay_id"])
        assert connection.execute(query).scalar_one() == secret


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"since": SINCE}, ""),
        ({"since": "soon", "alarm_id": "x"}, "/since"),
        ({"since": SINCE, "until": "later", "alarm_id": "x"}, "/until"),
        ({"since": SINCE, "destination": "hooks"}, "/destination"),
        ({"since": SINCE, "alarm_id": "x", "replay_id": "1"}, "/replay_id"),
        ({"since": SINCE, "alarm_id": "x", "replay_id": f"{uuid.UUID(int=1)}\n"}, "/replay_id"),
        ({"since": "soon", "until": "later", "alarm_id": "x"}, "/since"),
        ({"since": SINCE, "alarm_id": "x", "state": "pending"}, "/state"),
        ({"since": SINCE, "alarm_id": "a-alarm"}, "/since"),
    ],
)
def test_a_replay_that_cannot_be_carried_out_sends_nothing(
    lite: DeliveriesApi, body: Any, field: str
) -> None:
    put(lite.database, [delivery_row("a", n) for n in range(5)])
    answer = lite.call("POST", REPLAY, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, field), answer.text
    assert answer.json["errors"][0]["remedy"]
    assert drained(lite.database) == []
    assert lite.call("POST", REPLAY, {"since": SINCE, "alarm_id": "x"}, roles="reader").status_code == 403


def test_an_action_is_never_owed_more_replays_than_the_limit(lite_database: storage.Database) -> None:
    put(lite_database, [delivery_row("a", n, action="http://h/") for n in range(3)])
    replays, wanted = DeliveryReplays(lite_database, 4), Selection(project_id="a", alarm_id="a-alarm")
    assert replays.replay("r1", wanted).deliveries == 3
    with pytest.raises(StillOwed):
        replays.replay("r2", wanted)
    assert replays.replay("r1", wanted).deliveries == 3
    assert len(drained(lite_database)) == 3
    assert replays.replay("r2", wanted).deliveries == 3
    with pytest.raises(TooMany):
        DeliveryReplays(lite_database, 2).replay("r3", wanted)


def test_destinations_show_rates_latencies_and_what_is_owed(api: DeliveriesApi) -> None:
    slow = "https://slow.example.org/"
    put(api.database, [delivery_row("a", n, action=slow, latency=n / 100) for n in range(99)])
    put(api.database, [delivery_row("a", 200, "failed", action=slow, latency=10.0)])
    put(
        api.database,
        [delivery_row("a", 300, "pending", latency=3.0, attempted_at=START), delivery_row("b", 0)],
    )
    fast, found = api.call("GET", "/v1/destinations").json
    assert (found["destination"], found["success_rate"], found["owed"]) == (
        "https://slow.example.org:443",
        0.99,
        0,
    )
    assert (found["latency_p50"], found["latency_p99"]) == (0.49, 0.98)
    assert found["last_success_at"] == (START + 98 * SECOND).isoformat()
    assert found["last_failure_at"] == (START + 200 * SECOND).isoformat()
    assert (fast["success_rate"], fast["owed"], fast["last_failure_at"]) == (None, 1, SINCE)
    assert len(statements(api.database, lambda: DeliveryPages(api.database).destinations("a"))) <= 2
    assert api.call("GET", "/v1/destinations?project_id=b").status_code == 403


IDS = st.sampled_from(["own", "other", "unknown"]) | st.text(min_size=1, max_size=20)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "alarm_id": st.sampled_from(["a-alarm", "b-alarm", "%", "_-alarm"]) | st.text(max_size=9),
        "destination": st.sampled_from(["https://b.example.org", "https://a.example.org", "https://%"]),
        "state": st.sampled_from(["failed", "delivered,pending", "x"]),
        "replay_id": st.sampled_from(["own", "%"]),
        "project_id": st.sampled_from(["a", "b", "A", "b ", "%", ""]),
        "all_projects": st.sampled_from(["true", "false", ""]),
        "since": st.sampled_from(["2020-01-01", "x"]),
        "limit": st.sampled_from(["1", "100", "0"]),
        "nextpage_opaque_marker": st.builds(
            encode_marker, st.lists(st.text(max_size=3) | st.integers() | st.just(SINCE), max_size=3)
        ),
    },
)


@hypothesis.settings(
    max_examples=150, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(data=st.data())
def test_nothing_of_another_project_is_seen_or_changed(lite: DeliveriesApi, data: Any) -> None:
    """Red when one query or one change does not name the project."""
    if not lite.listed(LIST, project="b"):
        for project in ("a", "b"):
            put(
                lite.database,
                [delivery_row(project, n, "failed" if n % 2 else "delivered") for n in range(4)],
            )
    foreign = lite.listed(LIST, project="b")
    names = {"own": lite.listed(LIST)[-1], "other": foreign[0], "unknown": str(uuid.uuid4())}

    def named(value: str) -> str:
        return names.get(value, value).replace("/", "%2F").replace("?", "%3F").replace("#", "%23")

    before = others(lite.database)
    kind = data.draw(st.sampled_from(["list", "show", "retry", "replay", "destinations"]))
    query = {name: named(value) for name, value in data.draw(FILTERS).items()}
    roles = data.draw(st.sampled_from(["reader", "member,reader", "service"]))
    method = "GET" if kind in ("list", "show", "destinations") else "POST"
    one = named(data.draw(IDS))
    path = {
        "list": LIST,
        "destinations": "/v1/destinations",
        "replay": REPLAY,
        "retry": f"{LIST}/{one}/retry",
    }
    body = None
    if kind == "replay":
        body = {"since": SINCE, "alarm_id": data.draw(st.sampled_from(["a-alarm", "b-alarm", "%"]))}
        body |= data.draw(
            st.sampled_from([{}, {"destination": "https://b.example.org"}, {"state": "failed"}])
        )
    answer = lite.client.simulate_request(
        method,
        path.get(kind, f"{LIST}/{one}"),
        params=query,
        json=body,
        headers={"X-Project-Id": "a", "X-User-Id": "u", "X-Roles": roles},
    )
    assert answer.status_code in (200, 202, 400, 403, 404, 409, 414), answer.text
    if answer.status_code in (200, 202):
        leaked = [
            word for word in (*foreign, "b-alarm", "b.example", "b disk", "b-vm") if word in answer.text
        ]
        assert not leaked, (path, query)
    else:
        assert not [word for word in ("b disk", "b-vm", "b.example") if word in answer.json["detail"]]
        assert one != foreign[0] or answer.status_code in (400, 403, 404)
    assert others(lite.database) == before


def others(database: storage.Database) -> list[Any]:
    with database.read() as connection:
        query = sa.select(tables.delivery).where(tables.delivery.c.project_id != "a")
        return list(connection.execute(query.order_by(tables.delivery.c.seq)))
