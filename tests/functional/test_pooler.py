"""PostgreSQL through a real pgbouncer in transaction mode: few sessions, which all our processes share."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil

import pytest
import sqlalchemy as sa

from eventalarm.exceptions import SchemaError
from eventalarm.status.checks import Level
from eventalarm.status.database_server import check_server
from eventalarm.storage import database as storage
from eventalarm.storage.upgrade import upgrade
from eventalarm.trial.own_cloud.services.keeper import SERVER_PATH, free_ports
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import WebhookSink

SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@pytest.fixture
def pooled_url(our_postgresql_url: str, spawn: Spawn, tmp_path: pathlib.Path) -> str:
    """A fresh database with Aodh's tables and ours, through a pooler with three sessions."""
    program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ["PATH"], *SERVER_PATH]))
    assert program is not None, "pgbouncer is not installed: apt-get install pgbouncer"
    url, port = sa.make_url(our_postgresql_url), free_ports(1)[0]
    config = tmp_path / "pgbouncer.ini"
    config.write_text(SETTINGS.format(server=url.port, user=url.username, port=port))
    command = [program, str(config)]
    if os.geteuid() == 0:
        # pgbouncer refuses to run as root; it reads the file, which its user may not open, by a descriptor.
        known = {entry.pw_name for entry in pwd.getpwall()}
        user = next(name for name in ("postgres", "nobody") if name in known)
        command = ["setpriv", f"--reuid={user}", "--clear-groups", "--", program, "/dev/stdin"]
        command = ["sh", "-c", f'exec {" ".join(command)} < "{config}"']
    pooler = spawn(command)
    pooler.wait_for_log("process up")
    return url.set(port=port).render_as_string(hide_password=False)


def test_events_fire_through_a_pooler(
    pooled_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Many transactions on three sessions, more than psycopg needs to prepare a statement."""
    cloud = Cloud(spawn, tmp_path, pooled_url, rabbit_url)
    names = [f"vm-{n}" for n in range(20)]
    alarms = {name: cloud.create_alarm([webhook_sink.url(f"/{name}")], instance=name) for name in names}
    listeners = [cloud.start_listener() for _ in range(2)]
    for name in names:
        cloud.publish(make_event(name))
    for name, alarm in alarms.items():
        cloud.wait_for_state(alarm, "alarm")
        webhook_sink.wait(1, f"/{name}")
    for listener in listeners:
        text = listener.text()
        assert "reached through a pooler; statements are not prepared" in text
        assert "prepared statement" not in text.replace("statements are not prepared", "")
        assert "Traceback" not in text
    cloud.close()


def test_the_pooler_is_named_by_status_and_refused_by_dbsync(pooled_url: str) -> None:
    opened = storage.connect(pooled_url)
    found = check_server(opened, 1024 * 1024)
    assert (found.level, "through a pooler" in found.message) == (Level.OK, True)
    with pytest.raises(SchemaError, match="leads to a pooler"):
        upgrade(opened)
    with opened.begin() as connection:
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
        assert limit == "10s"
    opened.dispose()
