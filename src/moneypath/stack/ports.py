"""Reserve loopback ports so that two stacks on one machine never use the same one."""

import os
import random
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from moneypath.stack.errors import PortTaken

# Below the range of ephemeral ports (32768 and up).
FIRST_PORT = 20_000
LAST_PORT = 32_000


def is_free(port: int) -> bool:
    """Tell whether nothing listens on that loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As the servers do: a connection in TIME_WAIT must not make the port look taken.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class PortPool:
    """Reserves ports for one stack until `release()` or the end of the process.

    A reservation is an abstract Unix socket that is named after the port. Like a file lock it vanishes with
    its process. It is visible to exactly those processes that share the ports (one network namespace), also
    of other users and with other temporary folders, and there is no file to create, own or leave behind.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._held: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def reserve(self, name: str) -> int:
        """Return a free port for the server `name`: MONEYPATH_<NAME>_PORT if it is set, else one of our
        range.

        Raises PortTaken if the fixed port is in use or invalid, or if no port is left.
        """
        variable = f"MONEYPATH_{name.upper().replace('-', '_')}_PORT"
        fixed = self._environ.get(variable, "")
        if fixed:
            return self._reserve_fixed(name, variable, fixed)
        count = LAST_PORT - FIRST_PORT + 1
        start = random.randrange(count)  # noqa: S311  # spreads stacks apart, guards nothing
        for offset in range(count):
            port = FIRST_PORT + (start + offset) % count
            if self._hold(port):
                return port
        raise PortTaken(
            f"no free port: {name}; every port from {FIRST_PORT} to {LAST_PORT} is in use",
            hint=f"Stop other stacks, or set {variable} to a free port.",
        )

    def release(self) -> None:
        """Release every reserved port."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _reserve_fixed(self, name: str, variable: str, fixed: str) -> int:
        if not fixed.isdecimal() or not 1 <= int(fixed) <= 65_535:
            raise PortTaken(f"no port number: {variable}={fixed!r}", hint="Use a port from 1 to 65535.")
        if not self._hold(int(fixed)):
            raise port_taken(name, int(fixed))
        return int(fixed)

    def _hold(self, port: int) -> bool:
        if port in self._held:
            return False
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0moneypath-port-{port}")
        except OSError:
            reservation.close()
            return False
        if not is_free(port):
            reservation.close()
            return False
        self._held[port] = reservation
        return True


def port_taken(name: str, port: int) -> PortTaken:
    """Return the error that a server's port is in use, with a hint."""
    variable = f"MONEYPATH_{name.upper().replace('-', '_')}_PORT"
    return PortTaken(
        f"port taken: {port} on 127.0.0.1, wanted for {name}",
        hint=f"Stop what listens there, set {variable} to another port, or unset it to have one chosen.",
    )
