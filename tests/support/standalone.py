"""``eventalarm-standalone`` as a process of a test."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aodhclient.client
import aodhclient.noauth
from keystoneauth1 import session

from eventalarm.standalone import sample
from tests.support.helpers import Process, console_script

PROGRAM = console_script("eventalarm-standalone")


@dataclass
class Standalone:
    """A running program under test."""

    process: Process
    data_dir: pathlib.Path
    endpoint: str

    def client(self, project: str | None = None) -> Any:
        auth = aodhclient.noauth.AodhNoAuthPlugin(
            "tester", project or sample.project(), sample.ROLES, self.endpoint
        )
        return aodhclient.client.Client("2", session=session.Session(auth=auth))

    def post(
        self, notification: object, exchange: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        body = notification if isinstance(notification, bytes) else json.dumps(notification).encode()
        query = f"?exchange={exchange}" if exchange is not None else ""
        request = urllib.request.Request(
            f"{self.endpoint}/notifications{query}",
            body,
            {"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)

    def watch(self, url: str, instance: str, **more: Any) -> str:
        """Create the alarm of the installation page on *instance* and return its id."""
        rule = {
            "event_type": "compute.instance.update",
            "query": [
                {"field": "traits.instance_id", "op": "eq", "type": "string", "value": instance},
                {"field": "traits.state", "op": "eq", "type": "string", "value": "error"},
            ],
        }
        alarm = {"name": f"failed-{instance}", "type": "event", "event_rule": rule, "alarm_actions": [url]}
        created: str = self.client().alarm.create({**alarm, **more})["alarm_id"]
        return created


def start(data_dir: pathlib.Path, log: pathlib.Path, *arguments: str) -> Standalone:
    process = Process([PROGRAM, "--data-dir", str(data_dir), "--port", "0", *arguments], log)
    try:
        endpoint = process.wait_for_log(r"Serving on (http://\S+)")[1]
        process.wait_for_log("standalone.log")
    except BaseException:
        process.close()
        raise
    return Standalone(process, data_dir, endpoint)


@contextlib.contextmanager
def running(data_dir: pathlib.Path, log: pathlib.Path, *arguments: str) -> Iterator[Standalone]:
    one = start(data_dir, log, *arguments)
    try:
        yield one
    finally:
        one.process.close()


def notification(instance: str, state: str, **more: Any) -> dict[str, Any]:
    payload = {**sample.fault()["payload"], "instance_id": instance, "state": state}
    return {**sample.fault(), "payload": payload, **more}


def refused(*arguments: str) -> str:
    """Return the output of a program that refuses to start."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr
