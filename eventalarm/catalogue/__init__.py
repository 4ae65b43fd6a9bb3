"""The fault catalogue and the event definitions, with their installation into Ceilometer."""
