"""The disruption rig: a load with known outcomes, faults in all parts, and the account of the results."""
