"""A recorded Nova notification, and shell commands that replay it; users can copy them as they are."""

from __future__ import annotations

import datetime
import importlib.resources
import json
import pathlib
import shlex
import shutil
import sys
import uuid
from typing import TYPE_CHECKING, Final, cast

from eventalarm.model import UTC, JSONDict

if TYPE_CHECKING:
    from eventalarm.standalone.datadir import DataDir

RECORDING: Final = "nova-compute.instance.update-error.json"
EXCHANGE: Final = "nova"
# Where standalone accepts notifications.
PATH: Final = "/notifications"
USER: Final = "tenant"
ROLES: Final = "member,reader"


def fault() -> JSONDict:
    """Return Nova's notification of a server going from active to error, without message id and time.

    It was recorded in a running cloud; identifiers are placeholders.
    """
    text = importlib.resources.files("eventalarm.standalone").joinpath("data", RECORDING).read_text()
    recorded = cast(JSONDict, json.loads(text))
    return {name: value for name, value in recorded.items() if name not in ("message_id", "timestamp")}


def recovery() -> JSONDict:
    """Return Nova's notification that the server is active again, without message id and time."""
    return _with_payload(fault(), state="active", old_state="error")


def another_fault() -> JSONDict:
    """Return the same fault for another server, without message id and time."""
    return _with_payload(fault(), instance_id=str(uuid.uuid4()))


def sent_now(notification: JSONDict, now: datetime.datetime) -> JSONDict:
    """Return *notification* with a new message id and the time *now* in Nova's format."""
    stamp = str(now.astimezone(UTC).replace(tzinfo=None))
    return {**notification, "message_id": str(uuid.uuid4()), "timestamp": stamp}


def _with_payload(notification: JSONDict, **changes: str) -> JSONDict:
    return {**notification, "payload": {**notification["payload"], **changes}}


def project() -> str:
    """Return the project that owns the server in the sample notification."""
    return str(fault()["payload"]["tenant_id"])


def instance() -> str:
    """Return the id of the server in the sample notification."""
    return str(fault()["payload"]["instance_id"])


def credentials(endpoint: str) -> str:
    """Return the shell line that configures the ``openstack`` command for *endpoint*."""
    return (
        f"export OS_AUTH_TYPE=aodh-noauth OS_AODH_ENDPOINT={endpoint} "
        f"OS_PROJECT_ID={project()} OS_USER_ID={USER} OS_ROLES={ROLES}"
    )


def post(endpoint: str, path: str) -> str:
    """Return the shell line that posts the notification in the file *path*."""
    return f"curl --json {shlex.quote('@' + path)} '{endpoint}{PATH}?exchange={EXCHANGE}'"


def create_alarm(action: str) -> str:
    """Return the shell command that creates an alarm on the sample's fault, which calls *action*."""
    return (
        "openstack alarm create --name server-failed --type event --event-type compute.instance.update \\\n"
        f"    --query 'traits.instance_id=string::{instance()};traits.state=string::error' \\\n"
        f"    --alarm-action {action} --ok-action {action}"
    )


def host() -> str:
    """Return the host of the server in the sample notification."""
    return str(fault()["payload"]["host"])


def report_host(endpoint: str, status: str) -> str:
    """Return the shell line with which a monitor reports that the host is *status* (down or up) now."""
    event = {
        "type": f"compute.host.{status}",
        "time": "'$(date -u +%FT%TZ)'",
        "details": {"hostname": host(), "status": status},
    }
    headers = "-H 'X-Project-Id: operators' -H 'X-Roles: service'"
    return f"curl {headers} --json '{json.dumps({'event': event})}' {endpoint}/v1/events"


def extend_path() -> str:
    """Return the shell line that adds the directory of ``openstack`` to PATH, empty if not needed."""
    beside = pathlib.Path(sys.executable).parent
    if shutil.which("openstack") or not (beside / "openstack").exists():
        return ""
    return f"    export PATH={shlex.quote(str(beside))}:$PATH\n"


def as_tenant(endpoint: str) -> str:
    """Return commands for acting as a tenant."""
    return f"""\
Act as a tenant (without Keystone, the client sends its own identity headers):
{extend_path()}    {credentials(endpoint)}
    openstack alarm list
"""


def watch(action: str) -> str:
    """Return commands that create an alarm which calls *action*."""
    return f"""\
Create an alarm on a server, with your own web server as the consumer:
    {create_alarm(action)}
"""


def report_as_monitor(endpoint: str, action: str) -> str:
    """Return commands that report a fault of the host; *action* notifies the owner of the server."""
    return f"""\
Report as a monitor that the server's host is down; the inspector publishes it to the owners of its servers:
    openstack alarm create --name host-down --type event --event-type 'compute.host.*' \\
        --query 'traits.instance_id=string::{instance()};traits.status=string::down' \\
        --alarm-action {action} --ok-action {action}
    {report_host(endpoint, "down")}
    {report_host(endpoint, "up")}
"""


def send_as_nova(endpoint: str, data: DataDir) -> str:
    """Return commands that post the sample, and the paths of the data directory."""
    return f"""\
Send Nova's notifications that the server failed and recovered:
    {post(endpoint, str(data.fault))}
    {post(endpoint, str(data.recovery))}
    openstack alarm list
"""


def see_alarms(endpoint: str) -> str:
    """Return the address of the NOC dashboard, and commands that read alarms as an NFVO does."""
    return f"""\
Watch the alarms on the NOC dashboard, where you are signed in:
    {endpoint}/ui#project={project()}
Read them as an NFVO does:
    export OS_IFA_ENDPOINT={endpoint} OS_EVENTALARM_INGEST_ENDPOINT={endpoint}
    openstack ifa alarm list
"""


def notification_rule() -> JSONDict:
    """Return a rule that has an occurrence for each server in error, until that server is active again."""
    return {
        "event_type": "compute.instance.update",
        "query": [{"field": "traits.state", "value": "error"}],
        "clear": {"query": [{"field": "traits.state", "value": "active"}]},
        "group_by": ["instance_id"],
    }


def try_a_rule(data: DataDir) -> str:
    """Return commands that test a rule on a webhook that was received, and create an alarm with it."""
    path, webhook = shlex.quote(str(data.rule)), shlex.quote(str(data.webhook))
    return f"""\
Test a rule for all servers on the event of a webhook, and create an alarm with it:
    cat {path}
    openstack eventalarm rule test --rule {path} --event {webhook}
    openstack eventalarm rule create --name any-server-failed --rule {path}
    openstack eventalarm rule list
"""


def paths(data: DataDir) -> str:
    """Return the line that names the files of the data directory."""
    return f"Options: {data.overrides}/*.conf   Pipeline: {data.event_pipeline}   Log: {data.log}\n"
