"""Kills the processes of a whole stack under load, and asks three witnesses what became of the money.

A black box over processes: it knows the service by its addresses, its books and its tables, and imports
nothing of it. A killed process is not a power cut: what the operating system had taken over stays.
"""
