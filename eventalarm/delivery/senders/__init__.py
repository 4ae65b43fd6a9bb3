"""Senders: one module for each way to carry out an action."""
