"""The disruption rig: load with a known outcome, parts that break, and the account of what became of it."""
