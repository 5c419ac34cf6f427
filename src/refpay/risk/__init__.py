"""Assess authorizations before their provider is called: harmless, suspicious or blocked."""
