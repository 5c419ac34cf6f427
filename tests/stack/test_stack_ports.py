"""Two stacks side by side never get the same port."""

import json
import socket
import subprocess
import sys

import pytest

from moneypath.stack import ports
from moneypath.stack.errors import PortTaken
from moneypath.stack.ports import FIRST_PORT, LAST_PORT, PortPool

_OTHER_STACK = """
import json, sys
from moneypath.stack.ports import PortPool
port_pool = PortPool({})
print(json.dumps([port_pool.reserve(str(number)) for number in range(200)]), flush=True)
sys.stdin.read()
"""


def test_ports_are_free_distinct_and_in_range(port_pool: PortPool) -> None:
    """Every reservation can be bound and none is given twice."""
    reserved = [port_pool.reserve("shop") for _ in range(50)]
    assert len(set(reserved)) == 50
    assert all(FIRST_PORT <= port <= LAST_PORT and ports.is_free(port) for port in reserved)


def test_another_process_gets_other_ports(port_pool: PortPool) -> None:
    """Reserved but not yet bound, a port is still refused to another stack, and free when that one ended."""
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER_STACK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        taken = json.loads(other.stdout.readline())
        assert not any(port_pool._hold(port) for port in taken)
        other.kill()
    # Some may have been given to a third stack meanwhile.
    assert sum(port_pool._hold(port) for port in taken) > 150


def test_a_port_somebody_listens_on_is_not_given(port_pool: PortPool) -> None:
    """A program that knows nothing of reservations is respected."""
    port = port_pool.reserve("shop")
    port_pool.release()
    with socket.create_server(("127.0.0.1", port)):
        assert not port_pool._hold(port)
    assert port_pool._hold(port)


def test_a_fixed_port_is_taken_as_it_is(port_pool: PortPool) -> None:
    """MONEYPATH_<NAME>_PORT decides, dashes read as underscores."""
    port = port_pool.reserve("any")
    port_pool.release()
    with PortPool({"MONEYPATH_REFPAY_API_PORT": str(port)}) as fixed:
        assert fixed.reserve("refpay-api") == port


def test_a_fixed_port_in_use_is_one_sentence(port_pool: PortPool) -> None:
    """The sentence names port, server and variable."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port taken: {port} .*shop\n.*MONEYPATH_SHOP_PORT"):
            PortPool({"MONEYPATH_SHOP_PORT": str(port)}).reserve("shop")


@pytest.mark.parametrize("wrong", ["0", "65536", "-1", "http", "80 "])
def test_a_fixed_port_must_be_a_port(wrong: str) -> None:
    """Anything but 1 to 65535 is refused with the variable's name."""
    with pytest.raises(PortTaken, match="MONEYPATH_SHOP_PORT"):
        PortPool({"MONEYPATH_SHOP_PORT": wrong}).reserve("shop")
