"""Looks at an authorization before its provider is called: suspicious, blocked, or neither."""
