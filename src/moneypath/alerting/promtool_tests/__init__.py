"""The promtool tests that are generated with the rules."""
