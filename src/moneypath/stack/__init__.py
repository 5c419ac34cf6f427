"""Find, start, watch and stop the real servers of a stack as child processes."""
