"""Health checks of the cloud around eventalarm, whose findings become events. Optional: extra ``pulse``."""
