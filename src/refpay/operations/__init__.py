"""Operator actions on the service as a whole, and the integrity checks."""
