"""Functional tests: real brokers, databases, sockets and processes."""
