"""Run integrity checks as read-only SQL on a ledger that is not ours, and show what they find."""
