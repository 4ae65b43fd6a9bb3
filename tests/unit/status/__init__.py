"""Tests of eventalarm.status."""
