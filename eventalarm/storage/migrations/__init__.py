"""The Alembic history of our own tables, apart from Aodh's; ``storage/schema.py`` runs it."""

VERSION_TABLE = "eventalarm_alembic_version"
