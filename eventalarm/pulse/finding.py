"""What a health check found, for its plugins."""

from eventalarm.model.findings import Finding, Health, worst

__all__ = ["Finding", "Health", "worst"]
