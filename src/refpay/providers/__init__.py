"""The acquirers behind one port; time-outs, retries, breaker and recording are decorators of it."""
