"""The acquirers behind one port. Time-outs, retries, circuit breaker and recording are decorators of it."""
