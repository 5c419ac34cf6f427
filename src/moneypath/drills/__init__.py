"""A drill is an incident plus a fault plus a score."""
