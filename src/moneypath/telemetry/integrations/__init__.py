"""Integrations, one module a library; the core never imports them."""
