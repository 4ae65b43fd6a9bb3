"""The Ceilometer publisher plugin; it runs inside Ceilometer's notification agent."""
