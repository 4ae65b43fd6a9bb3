"""What tests build on: builders, servers and stand-ins."""
