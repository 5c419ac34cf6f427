"""The outbox: domain events from the database to NATS JetStream, and their consumers.

No payment waits for NATS.
"""
