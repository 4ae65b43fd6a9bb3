"""Subscriptions: what is published, where it is sent, and how it is kept consistent."""
