"""The health checks of eventalarm: for each a module that asks and a function that evaluates the answer."""
