"""Authorize, capture and refund payments: one transaction before each provider call, one after it."""
