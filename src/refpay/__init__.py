"""The reference payment service: idempotent, double-entry, and consistent after crashes and lost answers."""
