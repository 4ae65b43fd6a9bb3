"""The health of a deployment: every hop of an event's way looked at, each with a remedy."""
