"""Storage: our tables beside Aodh's, and everything that speaks SQL."""
