"""Deterministic simulation of refpay's payment core with virtual time, scripted faults and a real PostgreSQL.

A seed gives one history, the same each time. Between any two statements the scheduler decides which step goes
on, which process dies, and what the provider does with a call. After each COMMIT all invariants are checked.
"""
