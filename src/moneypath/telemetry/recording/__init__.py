"""The hot path: where a record goes, and the recorder that a service holds."""
