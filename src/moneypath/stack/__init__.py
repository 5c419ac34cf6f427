"""Find, start, watch and stop the real servers as child processes."""
