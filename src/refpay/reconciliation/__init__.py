"""Reconciliation: matching our ledger with the providers' settlement reports, and keeping the breaks."""
