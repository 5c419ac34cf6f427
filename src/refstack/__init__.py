"""The reference stack: starts the reference payment service, its providers and everything that watches them.

It is one starter of `moneypath.stacks`. It starts the service and the providers as processes and imports
nothing of theirs.
"""
