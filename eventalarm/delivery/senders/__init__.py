"""The ways to carry out an action: one module for each kind of sender."""
