"""The recorder and the hot path: handles, data points and stores."""
