"""Storage: eventalarm's tables beside Aodh's, and all SQL."""
