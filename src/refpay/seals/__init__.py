"""Chains of seals over what is only ever added, kept where the database's owner cannot write."""
