"""Health checks of a deployment: each stage on the path of an event, each finding with a remedy."""
