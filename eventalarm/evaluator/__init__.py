"""The evaluator: from an event on the bus to a committed transition."""
