"""The programs of a cloud of its own: they are configured, started, awaited and killed."""
