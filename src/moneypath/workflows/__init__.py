"""What joins several rooms: the live money path, the demo, a drill, generated files."""
