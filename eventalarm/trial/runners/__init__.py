"""The runners that work on every stage."""
