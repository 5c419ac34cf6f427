"""The double-entry ledger: append-only, and zero per entry and currency, both enforced by the database."""
