"""The fault catalogue: our event definitions, and how they are merged into Ceilometer's."""
