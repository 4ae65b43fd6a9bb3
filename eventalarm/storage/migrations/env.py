"""Alembic's environment: runs the revisions on the connection that ``storage/upgrade.py`` passes."""

from alembic import context

from eventalarm.storage.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)

with context.begin_transaction():
    context.run_migrations()
