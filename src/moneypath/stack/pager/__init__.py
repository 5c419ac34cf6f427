"""A stand-in for a paging service: it receives and stores Alertmanager's webhooks, and roles acknowledge
them.
"""
