"""What ``eventalarm-standalone`` refuses: to start where it must not, and requests of foreign web pages."""

from __future__ import annotations

import json
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone import datadir
from tests.support.standalone import Standalone, refused, running


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("standalone")
    with running(folder / "data", folder / "log") as one:
        yield one


def test_a_second_process_on_the_same_directory_is_refused(standalone: Standalone) -> None:
    said = refused("--data-dir", str(standalone.data_dir), "--port", "0")

    assert f"in use by process {standalone.process.pid}" in said
    assert standalone.client().alarm.list() is not None


def test_an_occupied_port_is_refused(standalone: Standalone, tmp_path: pathlib.Path) -> None:
    port = standalone.endpoint.rpartition(":")[2]

    said = refused("--data-dir", str(tmp_path / "data"), "--port", port)

    assert f"--port: {port} on 127.0.0.1" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_listening_beyond_loopback_needs_consent(tmp_path: pathlib.Path, host: str) -> None:
    said = refused("--data-dir", str(tmp_path / "data"), "--port", "0", "--host", host)

    assert "--i-know-there-is-no-authentication" in said


@pytest.mark.parametrize("path", ["/v2/alarms", "/notifications", "/v1/events", "/ifa/v1/alarms", "/ui"])
def test_a_foreign_web_page_reaches_nothing(standalone: Standalone, path: str) -> None:
    """Its name was rebound to loopback, or it posts across origins; Host or Origin reveal this."""
    port = standalone.endpoint.rpartition(":")[2]
    for headers in ({"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}):
        alarm = json.dumps({"name": "rebound", "type": "event", "event_rule": {}}).encode()
        request = urllib.request.Request(
            f"{standalone.endpoint}{path}", alarm, {"Content-Type": "application/json", **headers}
        )
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=10)
        assert refusal.value.code == 421
        assert "--allow-host" in json.load(refusal.value)["detail"]
    assert not [one for one in standalone.client().alarm.list() if one["name"] == "rebound"]


def test_a_host_name_can_be_allowed(tmp_path: pathlib.Path) -> None:
    with running(tmp_path / "data", tmp_path / "log", "--allow-host", "cloud.example") as one:
        request = urllib.request.Request(
            f"{one.endpoint}/vnffm/api_versions", headers={"Host": "cloud.example"}
        )
        assert urllib.request.urlopen(request, timeout=10).status == 200


def test_the_data_is_readable_by_its_owner_only(standalone: Standalone) -> None:
    assert standalone.data_dir.stat().st_mode & 0o777 == 0o700


def test_an_open_directory_is_closed_or_refused_if_it_holds_other_files(tmp_path: pathlib.Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder, file in ((ours, "event_pipeline.yaml"), (others, "letter.txt")):
        folder.mkdir()
        folder.chmod(0o755)
        (folder / file).touch()

    with datadir.claim(str(ours)):
        assert ours.stat().st_mode & 0o777 == 0o700
    with (
        pytest.raises(InvalidOption, match=r"--data-dir: .* is accessible to other users"),
        datadir.claim(str(others)),
    ):
        pass
    assert others.stat().st_mode & 0o777 == 0o755


def test_an_invalid_pipeline_is_reported(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pipeline = data / "event_pipeline.yaml"
    source = {"name": "s", "events": ["*"], "sinks": ["k"]}
    sink = {"name": "k", "publishers": ["eventalarm://?policy=none"]}
    pipeline.write_text(json.dumps({"sources": [source], "sinks": [sink]}))

    said = refused("--data-dir", str(data), "--port", "0")

    assert str(pipeline) in said
    assert "policy" in (data / "standalone.log").read_text()
