"""Compares our ledger with the providers' settlement reports, and keeps account of the differences."""
