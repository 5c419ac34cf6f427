"""The command line: thin, helpful, never a stack trace for an expected failure."""

from moneypath.cli.main import main

__all__ = ["main"]
