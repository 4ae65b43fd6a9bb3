"""The edge that all our HTTP APIs share: what HTTP asks of a server, and limits before authentication."""
