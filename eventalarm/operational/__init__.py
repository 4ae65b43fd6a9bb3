"""Operational events: what eventalarm reports of itself, published like the events of any other service."""
