"""eventalarm: event-driven alarm evaluation for Aodh and Ceilometer."""
