"""Authorize, capture, refund: two transactions round each provider call, and one way to settle."""
