"""The chart renders what Kubernetes accepts, and the manifests are what it renders."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.containers import FOLDER, instructions
from tests.support.deployment_projects import DEPLOY

CHART = DEPLOY / "helm/eventalarm"
MANIFESTS = DEPLOY / "kubernetes/eventalarm.yaml"
EVERYTHING = "inspector.enabled=true,ifaApi.enabled=true,ingestApi.enabled=true"
# The oldest version that the chart supports and the newest whose schemas are installed.
VERSIONS = ["1.25", "1.33"]
SERVICES = {"listener", "inspector", "ifa-api", "ingest-api"}

kubernetes_validate = pytest.importorskip("kubernetes_validate")
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is missing")


def render(*options: str) -> str:
    """Return what ``helm template`` prints."""
    command = ["helm", "template", "eventalarm", str(CHART), "--namespace", "openstack", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def deployments(text: str) -> dict[str, dict[str, Any]]:
    found = [one for one in documents(text) if one["kind"] == "Deployment"]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (one,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(one)


@needs_helm
def test_the_manifests_are_those_of_the_chart() -> None:
    """Renew them as the page doc/source/install/kubernetes.rst says."""
    assert MANIFESTS.read_text() == render("--set", EVERYTHING)


@needs_helm
def test_helm_finds_nothing_wrong() -> None:
    done = subprocess.run(["helm", "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_manifests(version: str) -> None:
    validated = set()
    for one in documents(MANIFESTS.read_text()):
        # Custom resources: tests/unit/deploy/test_prometheus_operator.py.
        if not one["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(one, version, strict=True)
            validated.add(one["kind"])
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate({**one, "spek": {}}, version, strict=True)
    assert {"Deployment", "Service", "PodDisruptionBudget", "Job", "CronJob"} <= validated


def test_every_service_has_a_deployment_that_survives_a_drained_node() -> None:
    text = MANIFESTS.read_text()
    assert set(deployments(text)) == SERVICES
    budgets = [one for one in documents(text) if one["kind"] == "PodDisruptionBudget"]
    selected = [one["spec"]["selector"]["matchLabels"] for one in budgets]
    for one in deployments(text).values():
        assert one["spec"]["replicas"] > 1
        assert selected.count(one["spec"]["selector"]["matchLabels"]) == 1


@pytest.mark.parametrize(
    ("component", "live", "ready"),
    [
        ("listener", "/healthz", "/readyz"),
        ("inspector", None, None),
        ("ifa-api", None, "/healthcheck"),
        ("ingest-api", None, "/healthcheck"),
    ],
)
def test_probes_ask_the_health_endpoints(component: str, live: str | None, ready: str | None) -> None:
    """A container is not restarted because its database is away."""
    one = container(deployments(MANIFESTS.read_text())[component])
    for probe, path in (("livenessProbe", live), ("readinessProbe", ready)):
        asked = one[probe]
        assert asked.get("httpGet", {}).get("path") == path
        port = (asked.get("httpGet") or asked["tcpSocket"])["port"]
        assert port in {port["name"] for port in one["ports"]}


def test_prometheus_finds_the_listeners() -> None:
    found = {
        one["kind"]: one for one in documents(MANIFESTS.read_text()) if "listener" in one["metadata"]["name"]
    }
    labels = found["Service"]["metadata"]["labels"]
    monitor = found["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert [one["port"] for one in monitor["endpoints"]] == [
        one["name"] for one in found["Service"]["spec"]["ports"]
    ]
    port = found["Service"]["spec"]["ports"][0]["port"]
    variables = {one["name"]: one["value"] for one in container(found["Deployment"])["env"]}
    assert variables["OS_EVENTALARM__METRICS_PORT"] == str(port)


def test_pods_are_confined_and_run_as_the_user_of_the_image() -> None:
    user = int(dict(instructions(FOLDER / "Containerfile"))["USER"].partition(":")[0])
    for one in deployments(MANIFESTS.read_text()).values():
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["runAsNonRoot"]
        context = container(one)["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}


@needs_helm
def test_the_configuration_may_be_a_value() -> None:
    text = render("--set-string", "config=[DEFAULT]\ndebug = true")
    (secret,) = [one for one in documents(text) if one["kind"] == "Secret"]
    assert secret["stringData"]["eventalarm.conf"].rstrip() == "[DEFAULT]\ndebug = true"
    pods = deployments(text)["listener"]["spec"]["template"]
    assert pods["metadata"]["annotations"]["checksum/config"]
    (volume,) = [one for one in pods["spec"]["volumes"] if "secret" in one]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
