"""Tests of the ingest API without sockets."""
