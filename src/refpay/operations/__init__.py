"""What people and the worker do to the service as a whole: levers and integrity checks."""
