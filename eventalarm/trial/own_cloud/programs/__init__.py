"""The programs of an own cloud: they are configured, started, awaited and killed."""
