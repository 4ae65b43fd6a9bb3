"""``/v1/handled`` and ``/v1/profiles``: who may add to a profile, and who sees it."""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import standardwebhooks

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from tests.support.delivery_rows import DeliveriesApi, delivery_row, put
from tests.support.profiles import profile
from tests.support.signing import new_key

HANDLED = "/v1/handled"
PROFILES = "/v1/profiles"
MOVED = [{"name": "switched over", "time": "2026-05-01T12:00:03Z"}]


@pytest.fixture
def api(lite_database: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(lite_database, credentials_key=new_key())
    yield one
    one.close()


def profiled(api: DeliveriesApi, project: str = "a") -> str:
    (name,) = put(api.database, [delivery_row(project, 0, profile=profile(0, 1, 2).text())])
    return name


def names(api: DeliveriesApi, project: str) -> list[str]:
    found = api.call("GET", PROFILES, project=project)
    assert found.status_code == 200, found.text
    return [stage["checkpoint"] for one in found.json for stage in one["stages"]]


def signed(
    api: DeliveriesApi,
    delivery_id: str,
    secret: str,
    *,
    message_id: str = "",
    at: float = 0,
    body: Any = None,
) -> int:
    """Post as a consumer that has the project's secret and no token; return the status."""
    text = json.dumps(body or {"delivery_id": delivery_id, "checkpoints": MOVED})
    name, when = message_id or f"handled_{delivery_id}", at or time.time()
    made = standardwebhooks.Webhook(secret).sign(name, datetime.datetime.fromtimestamp(when, UTC), text)
    headers = {"webhook-id": name, "webhook-timestamp": str(int(when)), "webhook-signature": made}
    answer = api.client.simulate_post(
        HANDLED, body=text.encode(), headers={**headers, "Content-Type": "application/json"}
    )
    return int(answer.status_code)


def secret_of(api: DeliveriesApi, project: str) -> str:
    made = api.call("POST", "/v1/secret", {}, project=project)
    assert made.status_code == 201, made.text
    return str(made.json["secret"])


def test_members_add_to_profiles_of_their_project_only(api: DeliveriesApi) -> None:
    """Red when the delivery is looked up without its project."""
    mine, other = profiled(api), profiled(api, "b")
    (plain,) = put(api.database, [delivery_row("a", 1)])

    def post(name: str, **who: Any) -> Any:
        return api.call("POST", HANDLED, {"delivery_id": name, "checkpoints": MOVED}, **who)

    assert post(mine).json == {"recorded": True}
    assert post(plain).json == {"recorded": False}
    assert post(other).status_code == post("nothing").status_code == 404
    assert post(other).json["detail"] == post("nothing").json["detail"]
    assert post(mine, roles="reader").status_code == 403
    assert names(api, "a") == ["published", "received", "switched over"]
    assert names(api, "b") == ["published", "received"]
    assert names(api, "c") == []
    anonymous = api.client.simulate_post(HANDLED, json={"delivery_id": mine, "checkpoints": MOVED})
    assert anonymous.status_code == 401


def test_a_consumer_with_the_secret_needs_no_token(api: DeliveriesApi) -> None:
    """Red when the signature is not compared, or the secret of any project is enough."""
    mine, other = profiled(api), profiled(api, "b")
    secret, theirs = secret_of(api, "a"), secret_of(api, "b")

    assert signed(api, mine, secret) == 200
    assert names(api, "a")[-1] == "switched over"
    wrong = "whsec_" + base64.b64encode(bytes(32)).decode()
    refused = [
        signed(api, mine, wrong),
        signed(api, mine, theirs),
        signed(api, other, secret),
        signed(api, "nothing", secret),
        signed(api, mine, secret, at=time.time() - 400),
        signed(api, mine, secret, at=time.time() + 400),
        # What we sign for the consumer has the id alone, and is no request here.
        signed(api, mine, secret, message_id=mine),
        signed(api, mine, secret, body={"delivery_id": other, "checkpoints": MOVED}),
    ]
    assert refused == [401] * 8
    assert "switched over" not in names(api, "b")


@pytest.mark.parametrize(
    ("checkpoints", "field"),
    [
        ([], "/checkpoints"),
        ([{"name": "x", "time": "soon"}], "/checkpoints"),
        ([{"name": "a\nb", "time": "2026-05-01T12:00:03Z"}], "/checkpoints"),
        ([{"name": "x"}], "/checkpoints/0"),
        ([{"name": f"c{n}", "time": "2026-05-01T12:00:03Z"} for n in range(17)], "/checkpoints"),
    ],
)
def test_bad_checkpoints_are_named(api: DeliveriesApi, checkpoints: Any, field: str) -> None:
    answer = api.call("POST", HANDLED, {"delivery_id": "x", "checkpoints": checkpoints})

    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == field


def test_names_of_consumers_are_bounded_over_all_requests(api: DeliveriesApi) -> None:
    mine = profiled(api)

    def post(start: int) -> int:
        some = [{"name": f"c{n}", "time": "2026-05-01T12:00:03Z"} for n in range(start, start + 10)]
        found = api.call("POST", HANDLED, {"delivery_id": mine, "checkpoints": some})
        return int(found.status_code)

    assert (post(0), post(0), post(10)) == (200, 200, 400)
