"""The Alembic history of eventalarm's tables, separate from Aodh's; ``storage/upgrade.py`` runs it."""

VERSION_TABLE = "eventalarm_alembic_version"

# All revisions, the newest first; services compare that of the database with them.
REVISIONS = ("0001",)
