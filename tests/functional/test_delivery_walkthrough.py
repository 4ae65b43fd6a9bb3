"""The page about deliveries, command by command, as a tenant with the command line alone."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tests.support.helpers import WebhookSink, wait_until
from tests.support.standalone import notification, running
from tests.support.walkthrough import blocks, run_here, tenant

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "deliveries.rst"
OPTIONS = "[eventalarm_delivery]\nmax_attempts = 2\nretry_initial = 0.05\nretry_max = 0.1\n"
ID, REPLAY_ID, REPLAY_OF = (f"X-Eventalarm-{name}" for name in ("Delivery-Id", "Replay-Id", "Replay-Of"))


def test_a_tenant_finds_retries_and_replays_deliveries(
    tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Red when an attempt is not recorded by the worker, or a replay is not marked in its request."""
    webhook_sink.behave("/hook", statuses=[503, 503, 200])
    overrides = tmp_path / "data" / "conf.d"
    overrides.mkdir(parents=True)
    (overrides / "quick.conf").write_text(OPTIONS)
    commands = blocks(PAGE)
    hook = webhook_sink.url("/hook").replace("://", "://user:s3cr3t@")
    with running(tmp_path / "data", tmp_path / "log") as cloud:
        env = tenant(cloud.endpoint, "member,reader", HOOK=hook)
        cloud.watch(hook, "vm-1")
        cloud.post(notification("vm-1", "error"))
        webhook_sink.wait(2, "/hook")

        ((failed,),) = wait_until(lambda: _nonempty(run_here(commands["See what failed"], tmp_path, env)))
        env["DELIVERY"] = failed["Delivery"]
        (shown,) = run_here(commands["See why"], tmp_path, env)
        assert [line.count("HTTP 503 after") for line in shown["attempt_details"]] == [1, 1]
        assert "s3cr3t" not in json.dumps(shown)
        ((destination,),) = run_here(commands["See how the destination does"], tmp_path, env)
        assert (destination["Success Rate"], destination["Owed"]) == (0.0, 0)

        run_here(commands["Send a failed delivery"], tmp_path, env)
        *_, sent = webhook_sink.wait(3, "/hook")
        assert sent.headers[ID] == env["DELIVERY"]
        assert REPLAY_ID not in sent.headers

        def replay() -> dict[str, Any]:
            (found,) = run_here(commands["Send everything again"], tmp_path, env)
            return dict(found)

        done = wait_until(lambda: (found := replay())["deliveries"] and found)
        *_, again = webhook_sink.wait(4, "/hook")
        assert (again.headers[REPLAY_ID], again.headers[REPLAY_OF]) == (done["replay_id"], env["DELIVERY"])
        assert again.json == sent.json
        env["REPLAY"] = again.headers[REPLAY_ID]
        ((listed,),) = run_here(commands["See what a replay sent"], tmp_path, env)
        assert again.headers[ID] == listed["Delivery"] != env["DELIVERY"]

        webhook_sink.behave("/hook", statuses=[410])
        assert replay()["deliveries"]

        def circuits() -> list[str]:
            (found,) = run_here(commands["See how the destination does"], tmp_path, env)
            return [one["Circuit"] for one in found]

        wait_until(lambda: sorted(circuits()) == ["closed", "disabled"])
        (enabled,) = run_here(commands["Enable a destination"], tmp_path, env)
        assert enabled["destination"] == hook.replace("user:s3cr3t", "***")
        assert enabled["circuit"] == "closed"
        assert circuits() == ["closed"]


def _nonempty(found: list[Any]) -> list[Any]:
    return found if found[0] else []
