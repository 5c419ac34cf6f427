"""Chains of seals over what is only ever added, and their heads, kept where the database's owner cannot write."""
