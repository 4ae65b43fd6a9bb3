"""The connection to the cloud that is checked, by openstacksdk, which is imported only when it is used."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from keystoneauth1 import exceptions as auth_exceptions
from keystoneauth1 import loading, session
from keystoneauth1.identity import v3
from oslo_config import cfg

from eventalarm.conf.pulse import PULSE_GROUP
from eventalarm.exceptions import InvalidOption

CREDENTIALS: Final = "service_credentials"
REMEDY: Final = (
    "set [eventalarm_pulse] cloud to one of clouds.yaml, or the variables OS_..., or [service_credentials]"
)
# Variables with which openstacksdk finds a cloud by itself.
VARIABLES: Final = ("OS_CLOUD", "OS_AUTH_URL", "OS_AUTH_TYPE")


def sdk(conf_option: str = "[eventalarm_pulse] cloud") -> Any:
    """Return the module ``openstack``.

    :raises InvalidOption: when openstacksdk is not installed.
    """
    try:
        import openstack  # noqa: PLC0415 - part of the extra, and slow to import
    except ImportError as exc:
        problem = "needs openstacksdk, which is not installed"
        raise InvalidOption(conf_option, problem, "pip install 'eventalarm[pulse]'") from exc
    return openstack


def sdk_errors() -> tuple[type[Exception], ...]:
    """Return what openstacksdk and keystoneauth raise when a service fails."""
    return (sdk().exceptions.SDKException, auth_exceptions.ClientException)


def connect(conf: cfg.ConfigOpts, environ: Mapping[str, str] = os.environ) -> Any:
    """Return a connection to the configured cloud; nothing is requested yet.

    It is that of ``[eventalarm_pulse] cloud``; else that of the variables ``OS_...``, by which tenants use
    the ``openstack`` command; else that of ``[service_credentials]``.

    :raises InvalidOption: when openstacksdk is missing or the credentials cannot be used.
    """
    openstack = sdk()
    group = conf[PULSE_GROUP]
    source = "[eventalarm_pulse] cloud" if group.cloud else f"[{CREDENTIALS}]"
    try:
        if group.cloud:
            return openstack.connect(
                cloud=group.cloud, app_name="eventalarm-pulse", api_timeout=group.timeout
            )
        if any(environ.get(name) for name in VARIABLES):
            source = "OS_CLOUD, OS_AUTH_URL"
            return openstack.connect(app_name="eventalarm-pulse", api_timeout=group.timeout)
        if not conf[CREDENTIALS].auth_type:
            raise InvalidOption(source, "has no auth_type, and no other credentials are named", REMEDY)
        return _of_service(conf, openstack, group.timeout)
    except sdk_errors() as exc:
        raise InvalidOption(source, " ".join(str(exc).split())[:300], REMEDY) from exc


class Once:
    """Calls *make* once and keeps what it returned; after an error the next call tries again. Thread-safe."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        """Return what was made."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def tenant_project(
    conf: cfg.ConfigOpts, made: Callable[[], Any], environ: Mapping[str, str] = os.environ
) -> str:
    """Return the project of a tenant, who has the variables ``OS_...`` and not the role admin; else nothing.

    :param made: returns the connection. If Keystone refuses its credentials, the checks report that.
    """
    if conf[PULSE_GROUP].cloud or not any(environ.get(name) for name in VARIABLES):
        return ""
    session = made().session
    # A plugin without a catalogue, such as none, has no such method.
    failures: tuple[type[Exception], ...] = (*sdk_errors(), AttributeError)
    try:
        access = session.auth.get_access(session)
    except failures:
        return ""
    return "" if "admin" in access.role_names else str(access.project_id or "")


def connect_with_token(conf: cfg.ConfigOpts, auth_url: str, token: str, project_id: str) -> Any:
    """Return a connection with a caller's own token for their project; nothing is requested yet.

    :param auth_url: Keystone's, such as ``[keystone_authtoken] www_authenticate_uri``.
    :raises InvalidOption: when openstacksdk is missing.
    """
    auth = v3.Token(auth_url, token=token, project_id=project_id)
    made = session.Session(auth=auth, timeout=conf[PULSE_GROUP].timeout)
    return sdk().connection.Connection(session=made)


def _of_service(conf: cfg.ConfigOpts, openstack: Any, timeout: float) -> Any:
    auth = loading.load_auth_from_conf_options(conf, CREDENTIALS)
    made = loading.load_session_from_conf_options(conf, CREDENTIALS, auth=auth)
    made.timeout = made.timeout or timeout
    credentials = conf[CREDENTIALS]
    return openstack.connection.Connection(
        session=made, region_name=credentials.region_name, interface=credentials.interface
    )
