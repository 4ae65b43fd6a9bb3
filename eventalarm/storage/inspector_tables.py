"""The tables of the inspector: the resource map, faults of hosts and what they affect, and maintenance."""

from __future__ import annotations

import sqlalchemy as sa

from eventalarm.storage.column_types import (
    ID,
    KEY,
    LONG_TEXT,
    JsonText,
    UtcDateTime,
    eventalarm_table,
)

# The resource map: servers, ports and volumes. Each of the times belongs to a part of the columns; see
# ``eventalarm.model.Resource``. A deleted resource keeps its row for a while, so that a late event does not
# bring it back.
resource = eventalarm_table(
    "eventalarm_resource",
    sa.Column("resource_id", KEY, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("device_id", KEY, nullable=False),
    sa.Column("state", sa.String(64), nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("host", KEY, nullable=False),
    sa.Column("host_at", UtcDateTime),
    sa.Column("server_group", KEY, nullable=False),
    sa.Column("checked_at", UtcDateTime),
    sa.Index("ix_eventalarm_resource_host", "host", "kind"),
    sa.Index("ix_eventalarm_resource_device", "device_id"),
)

# One row for each fault of the catalogue on one host, hypervisor or switch; ``fault_key`` is the uuid5 of
# both. A cleared fault keeps its row, so that an older report that arrives late does not raise it again.
infrastructure_fault = eventalarm_table(
    "eventalarm_infrastructure_fault",
    sa.Column("fault_key", ID, primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("source", KEY, nullable=False),
    sa.Column("hosts", JsonText, nullable=False),
    sa.Column("raised", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("fault_id", KEY, nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_infrastructure_fault_raised", "raised"),
)

# The resources that a raised fault affects. ``published`` is false until the broker has confirmed the event
# for the owner.
affected = eventalarm_table(
    "eventalarm_affected",
    sa.Column("fault_key", ID, primary_key=True),
    sa.Column("resource_id", KEY, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("device_id", KEY, nullable=False),
    sa.Column("published", sa.Boolean, nullable=False),
    sa.Index("ix_eventalarm_affected_resource", "resource_id"),
)

# Events that counted for a policy of the inspector, kept for as long as they may count.
policy_match = eventalarm_table(
    "eventalarm_policy_match",
    sa.Column("policy", sa.String(128), primary_key=True),
    sa.Column("source", KEY, primary_key=True),
    sa.Column("message_id", KEY, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_eventalarm_policy_match_at", "at"),
)

# One row for each host of a session of planned maintenance; see ``eventalarm.model.HostMaintenance``. A row
# that has ended stays for a while, so that an older report that arrives late does not begin it again.
maintenance = eventalarm_table(
    "eventalarm_maintenance",
    sa.Column("session_id", KEY, primary_key=True),
    sa.Column("host", KEY, primary_key=True),
    sa.Column("state", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("starts_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Index("ix_eventalarm_maintenance_host", "host"),
)

# The resources whose alarms a maintenance inhibits: the host, its servers, and their ports and volumes. An
# inhibition ends with the maintenance, when the resource leaves the host, or at ``expires_at``.
inhibition = eventalarm_table(
    "eventalarm_inhibition",
    sa.Column("resource_id", KEY, primary_key=True),
    sa.Column("session_id", KEY, primary_key=True),
    sa.Column("host", KEY, primary_key=True),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Index("ix_eventalarm_inhibition_host", "host"),
)

# A session of planned maintenance as one project sees it; without a project, its hosts. ``body`` holds the
# fields of ``eventalarm.model.MaintenanceSession`` that no query asks for, as JSON.
maintenance_session = eventalarm_table(
    "eventalarm_maintenance_session",
    sa.Column("session_id", KEY, primary_key=True),
    sa.Column("project_id", sa.String(128), primary_key=True),
    sa.Column("state", sa.String(64), nullable=False),
    sa.Column("message_id", KEY, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("answered", sa.Boolean, nullable=False),
    sa.Column("alarmed", KEY, nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    sa.Index("ix_eventalarm_maintenance_session_project", "project_id"),
    sa.Index("ix_eventalarm_maintenance_session_due", "due_at"),
)
