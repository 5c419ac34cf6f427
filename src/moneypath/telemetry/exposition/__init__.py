"""Renders metrics as the text that a scrape returns."""
