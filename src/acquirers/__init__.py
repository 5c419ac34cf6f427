"""Simulated card acquirers: one process, one book of truth and one set of fault controls each.

They import nothing of moneypath or refpay: a shared line of code could hide the same error in both books.
"""
