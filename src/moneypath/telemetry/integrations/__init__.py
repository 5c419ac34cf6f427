"""Integrations, one module for each library. The core never imports them."""
