"""Trials: load on a cloud that is disrupted, and what was lost, late or repeated meanwhile."""
