"""Unit tests of what runs everything in one process."""
