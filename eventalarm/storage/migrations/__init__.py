"""The Alembic history of eventalarm's tables, separate from Aodh's; ``storage/upgrade.py`` runs it."""

VERSION_TABLE = "eventalarm_alembic_version"

# All of them, the newest first: what services compare the database with.
REVISIONS = ("0001",)
