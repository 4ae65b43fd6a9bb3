"""Everything in one process, to try it out: Aodh's API, Ceilometer's pipeline, a bus, and eventalarm."""
