"""The assembly of the listener: reads the options and builds the objects that run."""
