"""Subscriptions: what is published, to whom it is sent, and how it is kept consistent."""
