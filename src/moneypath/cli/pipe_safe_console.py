"""A console that does not interrupt the work when nobody reads its output any more."""

import os
import sys

from rich.console import Console


class PipeSafeConsole(Console):
    """Prints nothing after its reader has left (`| head -1`), so that a drill still ends in order.

    Rich would raise SystemExit in the middle of whichever task printed.
    """

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, also when Python flushes at its end."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
