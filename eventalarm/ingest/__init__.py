"""The ingest API: reports events over HTTP, for clients that do not use the message bus."""
