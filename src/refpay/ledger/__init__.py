"""The double-entry ledger: append-only, zero per entry and currency, by the database's own word."""
