"""The Grafana board of the money path, its provisioning, and the proof that its queries find data."""
