"""Kill the processes of a whole stack under load, then audit the money with the oracle.

It treats the service as a black box: it knows its addresses, books and tables, and imports nothing of it. A
killed process is not a power cut: data that the operating system has taken over survives.
"""
