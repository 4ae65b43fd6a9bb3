"""The ingest API: events by HTTP, from those who cannot or do not want to speak to the message bus."""
