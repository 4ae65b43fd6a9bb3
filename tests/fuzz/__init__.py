"""Fuzzing by coverage, for hours rather than seconds: ``tox -e fuzz``."""
