"""The Alembic history of eventalarm's tables, separate from Aodh's; ``storage/upgrade.py`` runs it."""

VERSION_TABLE = "eventalarm_alembic_version"

# All revisions, the newest first; services compare that of the database with them. The last two digits count
# expansions, which only add tables, nullable columns and indexes: services of the release before go on
# working. The first two count contractions, which remove only what the release before no longer uses: 0003 is
# followed by 0004 or 0100. See "Upgrades" in doc/source/admin/operating.rst.
REVISIONS = ("0001",)
