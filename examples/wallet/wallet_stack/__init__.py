"""Starts the wallet with all that it needs, as its team would: banks, database, monitoring, checks."""
