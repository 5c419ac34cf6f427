"""Observability and incident readiness for the money path."""
