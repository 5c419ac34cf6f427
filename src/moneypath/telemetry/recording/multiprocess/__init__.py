"""Multiprocess mode: workers of one service share their metrics. A scrape of any worker returns the sum."""
