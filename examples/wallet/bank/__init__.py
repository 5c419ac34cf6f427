"""A simulated bank: it collects and pays, keeps its own statement, and can be told to misbehave."""
