"""Metrics as text, the way a scrape reads them."""
