"""The promtool tests that are generated along with the rules."""
