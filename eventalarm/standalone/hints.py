"""What a person can type next: lines that work as they are."""

from __future__ import annotations

import shlex
from typing import Final

from eventalarm.standalone import intake, sample
from eventalarm.standalone.datadir import DataDir

USER: Final = "tenant"
ROLES: Final = "member,reader"


def project() -> str:
    """Return the project that owns the server of the sample notification."""
    return str(sample.fault()["payload"]["tenant_id"])


def instance() -> str:
    """Return the server of the sample notification."""
    return str(sample.fault()["payload"]["instance_id"])


def credentials(endpoint: str) -> str:
    """Return the shell line that points the ``openstack`` command at *endpoint*."""
    return (
        f"export OS_AUTH_TYPE=aodh-noauth OS_AODH_ENDPOINT={endpoint} "
        f"OS_PROJECT_ID={project()} OS_USER_ID={USER} OS_ROLES={ROLES}"
    )


def post(endpoint: str, path: str) -> str:
    """Return the shell line that posts the notification in the file *path*."""
    return f"curl --json {shlex.quote('@' + path)} '{endpoint}{intake.PATH}?exchange={sample.EXCHANGE}'"


def create_alarm() -> str:
    """Return the shell line that creates an alarm on the sample's fault."""
    return (
        "openstack alarm create --name server-failed --type event --event-type compute.instance.update \\\n"
        f"    --query 'traits.instance_id=string::{instance()};traits.state=string::error' \\\n"
        "    --alarm-action http://127.0.0.1:9000/ --ok-action http://127.0.0.1:9000/"
    )


def next_steps(endpoint: str, data: DataDir) -> str:
    """Return what to type, line by line, with a word on each."""
    return f"""\
Be a tenant (there is no Keystone here, so the client says who it is):
    {credentials(endpoint)}
    openstack alarm list

Watch a server, with any web server of yours on port 9000 as the consumer:
    {create_alarm()}

Let Nova say that it failed, and that it is well again:
    {post(endpoint, str(data.fault))}
    {post(endpoint, str(data.recovery))}
    openstack alarm list

Options: {data.overrides}/*.conf   Pipeline: {data.event_pipeline}   Log: {data.log}
"""
