"""Simulated card acquirers: each is one process with a book of its own and its own fault controls.

They import nothing of moneypath or refpay: shared code could put the same error into both books.
"""
