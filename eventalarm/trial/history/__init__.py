"""Histories of runs, and their check, which needs neither eventalarm nor its services."""
