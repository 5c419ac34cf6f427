"""What joins several packages: the live money path, the demo, a drill, generated files."""
