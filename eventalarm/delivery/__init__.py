"""Delivery: the outbox worker that calls alarm actions, each destination isolated from the others."""
