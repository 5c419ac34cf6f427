"""The worker: resolves open operations, runs the integrity checks, and exports gauges from the database."""
