"""Health checks of a real RabbitMQ, Galera cluster, HAProxy and pacemaker's own crm_mon."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Callable, Iterator

import pytest

from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.galera import Galera as GaleraCheck
from eventalarm.pulse.plugins.haproxy import HAProxy as HAProxyCheck
from eventalarm.pulse.plugins.pacemaker import Pacemaker
from eventalarm.pulse.plugins.rabbitmq import RabbitMQ as RabbitMQCheck
from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, free_ports
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.galera import Galera
from tests.support.haproxy import DOWN, UP, Backend, HAProxy, HealthCheck
from tests.support.helpers import wait_until
from tests.support.pulse_checks import look

DATA = pathlib.Path(__file__).parents[1] / "data" / "pacemaker"
# The management plugin of a node that runs, on its own port, until it is stopped again.
WRITE = (
    "{{ok, File}} = application:get_env(rabbit, enabled_plugins_file), "
    'ok = file:write_file(File, "{plugins}.\\n"), {{ok, _, _}} = rabbit_plugins:ensure(File).'
)
PLACE = (
    'application:set_env(rabbitmq_management, tcp_config, [{{port, {port}}}, {{ip, "127.0.0.1"}}]), '
    "application:set_env(rabbit, collect_statistics_interval, 500)."
)
USUAL = "application:set_env(rabbit, collect_statistics_interval, 5000)."


@pytest.fixture
def management(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The URL of the management API, with user and password."""
    rabbitmq.start()
    (port,) = free_ports(1)
    start = WRITE.format(plugins="[rabbitmq_management]")
    rabbitmq.ctl("eval", f"{PLACE.format(port=port)[:-1]}, {start}")
    rabbitmq.ctl("set_user_tags", rabbitmq.info["user"], "monitoring")
    yield f"http://{rabbitmq.info['user']}:{rabbitmq.info['password']}@{LOCALHOST}:{port}"
    rabbitmq.ctl("eval", f"{USUAL[:-1]}, {WRITE.format(plugins='[]')}")


def test_a_memory_alarm_of_rabbitmq_is_found_and_its_end(
    rabbitmq: RabbitMQ, management: str, figure: Callable[[str], None]
) -> None:
    target = management.rpartition("@")[2]

    def finding(timeout: float = 10.0) -> Finding:
        return look(RabbitMQCheck, rabbitmq_urls=[management], timeout=timeout)[target]

    expected = {"messages", "fd_used_percent", "memory_used_percent"}
    # The plugin collects figures regularly.
    well = wait_until(lambda: one if expected <= (one := finding()).figures.keys() else None, 20, "figures")
    assert (well.health, well.figures["nodes"]) == (Health.OK, 1.0), well.summary
    figure(f"rabbitmq: {well.figures['seconds']:.3f} s")
    rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        alarmed = wait_until(lambda: one if (one := finding()).failed else None, 20, "the memory alarm")
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.9")
    assert (alarmed.health, alarmed.host) == (Health.CRITICAL, "localhost")
    assert "memory alarm" in alarmed.summary
    assert "secret" not in str(alarmed)
    wait_until(lambda: finding().health is Health.OK, 20, "the end of the memory alarm")
    refused = look(RabbitMQCheck, rabbitmq_urls=[management.replace(":secret@", ":wrong@")])[target]
    assert (refused.health, refused.figures["http_status"]) == (Health.CRITICAL, 401)
    assert "wrong" not in str(refused)


def test_a_galera_node_that_is_cut_off_or_gone(galera: Galera) -> None:
    urls = {node: galera.url(node, "") for node in galera.info["ports"]}
    targets = {node: f"127.0.0.1:{port}" for node, port in galera.info["ports"].items()}

    def found() -> dict[str, Finding]:
        by_target = look(GaleraCheck, galera_urls=list(urls.values()))
        return {node: by_target[target] for node, target in targets.items()}

    assert {node: one.health for node, one in found().items()} == dict.fromkeys(urls, Health.OK)
    assert found()["a"].figures["cluster_size"] == 3.0
    (unused,) = free_ports(1)
    url = f"mysql+pymysql://root:secret@{LOCALHOST}:{unused}/"
    (missing,) = look(GaleraCheck, galera_urls=[url]).values()
    assert (missing.health, missing.host) == (Health.CRITICAL, LOCALHOST)
    assert "secret" not in str(missing)
    galera.set_provider("b", gmcast__isolate="1")
    try:
        apart = wait_until(lambda: one if (one := found())["a"].failed else None, 60, "the smaller cluster")
        assert (apart["b"].health, apart["a"].health) == (Health.CRITICAL, Health.WARNING)
        assert "2 instead of 3" in apart["a"].summary
        assert "outside of the primary component" in apart["b"].summary
    finally:
        galera.set_provider("b", gmcast__isolate="0")
        wait_until(galera.is_whole, 120, "the cluster is whole")
    assert {node: one.health for node, one in found().items()} == dict.fromkeys(urls, Health.OK)


@pytest.fixture
def haproxy(tmp_path: pathlib.Path) -> Iterator[tuple[HAProxy, set[str]]]:
    """HAProxy with the servers one and two, and the set of those whose health check succeeds."""
    healthy = {"one", "two"}
    checks = {name: HealthCheck(lambda name=name: name in healthy) for name in ("one", "two")}  # type: ignore[misc]
    backends = [Backend(name, check.port, check.port) for name, check in checks.items()]
    proxy = HAProxy(tmp_path, backends)
    try:
        yield proxy, healthy
    finally:
        proxy.close()
        for check in checks.values():
            check.close()


def test_servers_of_haproxy_that_are_down_and_in_maintenance(haproxy: tuple[HAProxy, set[str]]) -> None:
    proxy, healthy = haproxy

    def finding() -> Finding:
        return look(HAProxyCheck, haproxy_stats=[str(proxy.socket)])[f"database ({proxy.socket})"]

    proxy.wait_for(one=UP, two=UP)
    assert finding().health is Health.OK
    healthy.discard("one")
    proxy.wait_for(one=DOWN)
    half = finding()
    assert (half.health, half.figures["servers_down"]) == (Health.WARNING, 1.0)
    proxy.ask("disable server database/one")
    assert finding().health is Health.OK, "what is in maintenance is no fault"
    healthy.discard("two")
    proxy.wait_for(two=DOWN)
    assert finding().health is Health.CRITICAL


def test_an_haproxy_that_does_not_run(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "gone"
    (missing,) = look(HAProxyCheck, haproxy_stats=[str(path)]).values()
    assert missing.health is Health.CRITICAL
    with socket.socket(socket.AF_UNIX) as unanswered:
        unanswered.bind(str(path))
        unanswered.listen()
        (silent,) = look(HAProxyCheck, haproxy_stats=[f"unix://{path}"], timeout=0.2).values()
    assert "no answer" in silent.summary


@pytest.mark.parametrize("age", ["new", "old"])
def test_pacemaker_reports_nodes_quorum_and_resources(
    age: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real crm_mon reads a cluster's state from a file; *old* knows only the option of older versions."""
    monkeypatch.setenv("CIB_file", str(DATA / "cib.xml"))
    program = "crm_mon"
    if age == "old":
        script = tmp_path / "crm_mon"
        script.write_text(
            '#!/bin/sh\n[ "$1" = --as-xml ] || { echo usage >&2; exit 1; }\nexec crm_mon "$@"\n'
        )
        script.chmod(0o755)
        program = str(script)
    found = look(Pacemaker, crm_mon=program)
    assert {target: (one.health, one.host) for target, one in found.items()} == {
        "cluster": (Health.CRITICAL, ""),
        "node control-1": (Health.OK, "control-1"),
        "node control-2": (Health.WARNING, "control-2"),
        "node control-3": (Health.CRITICAL, "control-3"),
        "resource vip": (Health.OK, ""),
        "resource volume": (Health.CRITICAL, "control-1"),
    }
    assert "no quorum" in found["cluster"].summary
    assert "pcs resource cleanup volume" in found["resource volume"].remedy


def test_pacemaker_is_looked_at_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    assert look(Pacemaker, crm_mon="no-such-program") == {}
    required = look(Pacemaker, crm_mon="no-such-program", pacemaker_required=True)
    assert required["cluster"].health is Health.CRITICAL
    monkeypatch.setenv("CIB_file", str(tmp_path / "none.xml"))
    stopped = look(Pacemaker)["cluster"]
    assert stopped.health is Health.CRITICAL
    assert stopped.remedy
