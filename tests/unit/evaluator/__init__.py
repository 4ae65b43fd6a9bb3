"""Unit tests of the evaluator core."""
