"""What commands that listen share."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

import click

from moneypath.errors import MoneypathError


class PortTaken(MoneypathError):
    """An address on which nothing can listen."""

    code = "port_taken"


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise click.BadParameter(f"{value!r}; allowed: an IP address, such as 127.0.0.1") from None


host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, callback=_address, help="Where to listen."
)


@contextmanager
def port_taken(host: str, port: int) -> Iterator[None]:
    """Turn the system's refusal to listen into PortTaken."""
    try:
        yield
    except OSError as error:
        raise PortTaken(
            f"Nothing can listen on {host} port {port}: {error.strerror or error}.",
            hint="Choose another --port, or 0 for a free one.",
        ) from error
