"""The console scripts: parse flags, call the wiring."""
