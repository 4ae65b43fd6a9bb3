"""The monitors that work on every stage."""
