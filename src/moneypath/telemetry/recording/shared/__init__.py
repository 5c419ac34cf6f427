"""Cells that the workers of one service share, so that any of them answers a scrape for all."""
