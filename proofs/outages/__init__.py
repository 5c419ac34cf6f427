"""Take one server of a whole stack away under load, give it back, then count money, seconds and pages.

It treats the service as a black box, as the crash test does: it knows its addresses, books and tables, and
imports nothing of it.
"""
