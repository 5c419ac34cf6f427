"""A context passes through headers unchanged, and malformed headers are ignored."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import correlation
from moneypath.telemetry.correlation import Context, Trace, trace
from moneypath.telemetry.redaction import redact

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

hexadecimal = st.text("0123456789abcdef", min_size=1)


def ids(length: int) -> st.SearchStrategy[str]:
    """Draw ids that are not all zero."""
    return st.text("0123456789abcdef", min_size=length, max_size=length).filter(lambda text: text.strip("0"))


@given(ids(32), ids(16), st.booleans(), st.sampled_from(["", "vendor=1,other=2"]))
def test_what_is_put_in_comes_out(trace_id: str, span_id: str, sampled: bool, state: str) -> None:
    """Only the payment id does not cross a service boundary."""
    carried: dict[str, str] = {}
    context = Context("0000-request", Trace(trace_id, span_id, sampled, state), payment_id="p-1")
    with correlation.entered(context):
        correlation.inject(carried)
    assert correlation.extract(carried) == Context("0000-request", context.trace)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_a_malformed_parent_is_no_parent(header: str | None) -> None:
    """A new trace begins instead."""
    assert trace.parse(header) is None


def test_a_later_version_is_read_as_far_as_known() -> None:
    """W3C guarantees that the first four fields stay."""
    assert trace.parse(f"01-{TRACE}-{SPAN}-03-more") == Trace(TRACE, SPAN, sampled=True)


def test_state_of_others_is_passed_on_or_dropped_whole() -> None:
    """A tracestate is never cut, because a part of it would be wrong."""
    parent = f"00-{TRACE}-{SPAN}-00"
    assert trace.parse(parent, "a=1") == Trace(TRACE, SPAN, sampled=False, state="a=1")
    assert trace.parse(parent, "a" * 513) == Trace(TRACE, SPAN, sampled=False)


def test_outside_of_a_request_there_is_nothing_to_put_in() -> None:
    """Naming a payment does nothing either."""
    carried: dict[str, str] = {}
    correlation.inject(carried)
    correlation.name_payment("p-1")
    assert not carried
    assert correlation.active() is None


def test_a_payment_is_named_for_the_rest_of_the_request() -> None:
    """The id is gone with the end of the request."""
    with correlation.entered(Context("0000-request")), correlation.bound("0000-renamed"):
        correlation.name_payment("p-1")
        assert correlation.active() == Context("0000-renamed", payment_id="p-1")
    assert correlation.active() is None


def test_a_new_id_is_a_uuid() -> None:
    """It has version 8, because the ids of a batch share most bits; consecutive ones still look different."""
    minted = [correlation.mint() for _ in range(1000)]
    assert len(set(minted)) == 1000
    # Of two batches the ends may meet by chance, once in 65,000.
    assert sum(first[:4] == second[:4] for first, second in pairwise(minted)) <= 1
    for text in minted:
        parsed = UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (8, RFC_4122, text)
        assert redact(text) == text
        assert correlation.accept(text) == text


def test_threads_that_mint_at_once_get_ids_of_their_own() -> None:
    """The ids are different even if the batch runs out under several threads."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            batches = [pool.submit(lambda: [correlation.mint() for _ in range(2000)]) for _ in range(4)]
            minted = [text for batch in batches for text in batch.result()]
    finally:
        sys.setswitchinterval(before)
    assert len(set(minted)) == len(minted) == 8000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_mints_ids_of_its_own() -> None:
    """The child has a copy of its parent's batch and random state, and uses neither."""
    correlation.mint()
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, " ".join(correlation.mint() for _ in range(100)).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        theirs = pipe.read().split()
    os.waitpid(child, 0)
    ours = [correlation.mint() for _ in range(100)]
    assert len(theirs) == 100
    assert not set(theirs) & set(ours)
    assert {text[9:] for text in theirs}.isdisjoint(text[9:] for text in ours)


@given(st.uuids(), st.sampled_from([str, lambda uuid: str(uuid).upper(), lambda uuid: uuid.hex]))
def test_a_callers_uuid_is_kept(uuid: UUID, write: Callable[[UUID], str]) -> None:
    """Also in capitals and without dashes, unless it then looks like a card number."""
    text = write(uuid)
    assert (correlation.accept(text) == text) == (redact(text) == text)


@pytest.mark.parametrize("given", ["4111111111111111", "4111-1111-1111-1111", "id-4111111111111111"])
def test_a_card_number_is_no_id(given: str) -> None:
    """It would be returned, logged and passed on."""
    assert correlation.accept(given) != given
    assert correlation.accept("order-41111111111") == "order-41111111111"
