"""Simulates refpay's payment core: virtual time, scripted crashes, messages and providers, a real PostgreSQL.

A seed gives one history, the same each time. Between any two statements the schedule decides who goes on, who
dies, and what the provider makes of a call; after each COMMIT the books are compared.
"""
