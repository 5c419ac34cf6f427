"""A console for work that must end in order although nobody reads any more."""

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """Falls silent when its reader leaves (`| head -1`): a drill under way still ends in order.

    Rich would raise SystemExit, in the middle of whichever task printed.
    """

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, what Python flushes at its end included."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
