"""Everything in one process, for trials: Aodh's API, Ceilometer's pipeline, a message bus, eventalarm."""
