"""The stage *existing cloud*: hosts that are there already, reached by name."""
