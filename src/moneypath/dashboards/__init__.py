"""The Grafana board of the money path, its provisioning, and the check that its queries find data."""
