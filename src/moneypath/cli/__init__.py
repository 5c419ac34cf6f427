"""The command line; an expected failure prints a sentence, not a traceback."""

from moneypath.cli.main import main

__all__ = ["main"]
