"""Whose failure ended a payment, and whether money may have moved: what its observed calls say."""

import asyncio
import contextlib
import contextvars
import enum
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Recorder, setup
from moneypath.telemetry.integrations import httpx as observed_calls
from moneypath.telemetry.recording.observed_calls import CALLS, ObservedCalls, StrayCalls, ending_by
from moneypath.telemetry.tracing.tracer import NOOP_TRACER, Tracer

Pay = Callable[[], None]


class OwnBug(Exception):
    """What the service itself raises."""


def counted(recorder: Recorder) -> dict[tuple[str, str], float]:
    """Return the payments by outcome and provider."""
    (samples,) = (each for each in recorder.snapshot() if each.spec.name == "moneypath_payments_total")
    names = list(samples.spec.labels)
    places = names.index("outcome"), names.index("provider")
    return {(key[places[0]], key[places[1]]): value for key, value in samples.values.items() if value}


def answering(recorder: Recorder, provider: str, status: int | type[httpx.RequestError]) -> httpx.Client:
    """Return an observed client of a provider that answers with a status, or does not answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        if isinstance(status, int):
            return httpx.Response(status, json={"status": "approved"})
        raise status("nothing came", request=request)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://bank")
    observed_calls.instrument(
        client,
        recorder,
        provider=provider,
        operation=lambda request: request.url.path.strip("/"),
        classify=lambda found: "declined" if found.status_code == 206 else None,
    )
    return client


@pytest.fixture(params=[False, True], ids=["plain", "traced"])
def service(request: pytest.FixtureRequest) -> Recorder:
    """Return the recorder of a small service with two banks."""
    tracer = Tracer() if request.param else NOOP_TRACER
    return setup(service="shop", providers=["north", "south"], currencies=["EUR"], tracer=tracer)


def end_by(recorder: Recorder, pay: Pay) -> dict[tuple[str, str], float]:
    """Return what one payment, which an exception ends, is counted as."""

    def whole() -> None:
        with recorder.payment("authorize"):
            pay()

    with pytest.raises((OwnBug, httpx.HTTPError)):
        whole()
    assert CALLS.get() is None
    return counted(recorder)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        # The provider's failure, whatever the service's own words for it.
        (httpx.ReadTimeout, ("indeterminate", "north")),
        (httpx.ConnectError, ("failed", "north")),
        (500, ("failed", "north")),
        (504, ("indeterminate", "north")),
        (429, ("failed", "north")),
        (400, ("failed", "north")),
        # It answered: the failure is ours, and money may have moved unless the answer was no.
        (200, ("indeterminate", "none")),
        (206, ("failed", "none")),
    ],
)
@pytest.mark.parametrize("hides", [False, True])
def test_a_payment_takes_the_provider_of_its_call(
    service: Recorder, status: int | type[httpx.RequestError], expected: tuple[str, str], hides: bool
) -> None:
    """With the client's own exception, and with one of the service's that hides it."""
    client = answering(service, "north", status)

    def pay() -> None:
        try:
            client.post("/authorize").raise_for_status()
        except httpx.HTTPError:
            if hides:
                raise OwnBug from None
            raise
        raise OwnBug

    assert end_by(service, pay) == {expected: 1}


def test_a_query_moves_no_money(service: Recorder) -> None:
    """A bug after a query is ours, and nothing can have moved."""
    client = answering(service, "north", 200)

    def pay() -> None:
        client.post("/query")
        raise OwnBug

    assert end_by(service, pay) == {("failed", "none"): 1}


def test_what_an_earlier_call_moved_is_remembered(service: Recorder) -> None:
    """The first bank may have charged; that the second cannot be reached does not undo it."""
    first, second = (
        answering(service, "north", httpx.ReadTimeout),
        answering(service, "south", httpx.ConnectError),
    )

    def pay() -> None:
        with pytest.raises(httpx.ReadTimeout):
            first.post("/authorize")
        second.post("/authorize")

    assert end_by(service, pay) == {("indeterminate", "south"): 1}


def test_a_call_that_has_not_ended_may_have_moved_money(service: Recorder) -> None:
    """The service's own code gives up while a provider has not answered: nobody knows what it did."""
    answers: list[httpx.Response] = []

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(b"slow"))

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://bank")
    observed_calls.instrument(client, service, provider="north", operation="authorize")

    def pay() -> None:
        # Still open when the payment ends.
        answers.append(client.send(client.build_request("POST", "/authorize"), stream=True))
        raise OwnBug

    assert end_by(service, pay) == {("indeterminate", "north"): 1}
    answers[0].close()
    assert counted(service) == {("indeterminate", "north"): 1}


def test_a_provider_may_be_named_where_calls_are_not_observed(service: Recorder) -> None:
    """By the payment; an observed call knows better."""
    with pytest.raises(OwnBug), service.payment("authorize", provider="south"):
        raise OwnBug
    with service.payment("authorize", provider="south") as payment:
        payment.finish("succeeded")
    client = answering(service, "north", 200)
    with service.payment("authorize", provider="south") as payment:
        client.post("/authorize")
        payment.finish("succeeded")
    expected = {("failed", "south"): 1, ("succeeded", "south"): 1, ("succeeded", "north"): 1}
    assert counted(service) == expected


@pytest.mark.parametrize(
    ("status", "outcome", "provider"),
    [
        (200, "succeeded", "north"),
        (206, "declined", "north"),
        (500, "failed", "north"),
        # The bank answered well: a failure is ours.
        (200, "failed", "none"),
    ],
)
def test_finish_needs_no_provider(service: Recorder, status: int, outcome: str, provider: str) -> None:
    """The calls name it; who gives one is believed."""
    client = answering(service, "north", status)
    with service.payment("authorize") as payment:
        client.post("/authorize")
        payment.finish(outcome)
    assert counted(service) == {(outcome, provider): 1}
    with service.payment("authorize") as payment:
        client.post("/authorize")
        payment.finish(outcome, "south")
    assert counted(service)[outcome, "south"] == 1


def test_an_exception_may_name_the_provider(service: Recorder) -> None:
    """As it may name the outcome."""
    error = OwnBug()
    error.payment_outcome, error.payment_provider = "shed", "south"  # type: ignore[attr-defined]

    def pay() -> None:
        raise error

    assert end_by(service, pay) == {("shed", "south"): 1}


async def test_payments_at_once_do_not_see_each_others_calls(service: Recorder) -> None:
    """Each task has its own payment; the calls that it hands to other tasks are its own, too."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(500 if request.url.host == "north" else 200)

    clients = {}
    for name in ("north", "south"):
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=f"http://{name}")
        observed_calls.instrument(client, service, provider=name, operation="authorize")
        clients[name] = client

    async def pay(name: str) -> None:
        with service.payment("authorize"):
            await asyncio.create_task(clients[name].post("/authorize"))
            raise OwnBug

    ended = await asyncio.gather(*map(pay, ["north", "south"] * 20), return_exceptions=True)
    assert all(isinstance(error, OwnBug) for error in ended)
    assert counted(service) == {("failed", "north"): 20, ("indeterminate", "none"): 20}


OUTCOMES: Sequence[str | None] = (
    "succeeded",
    "declined",
    "failed",
    "indeterminate",
    "rejected",
    "shed",
    None,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["north", "south"]),
            st.sampled_from(["authorize", "query"]),
            st.sampled_from(OUTCOMES),
        ),
        max_size=6,
    )
)
def test_money_that_may_have_moved_is_never_failed(calls: list[tuple[str, str, str | None]]) -> None:
    """Whatever the calls, in whatever order: none is forgotten, and nobody is blamed who answered last."""
    noted = ObservedCalls(StrayCalls())
    for provider, operation, outcome in calls:
        note = noted.begin(provider, operation)
        if outcome is not None:
            note.end(outcome)
    outcome, provider = ending_by(OwnBug(), noted, "none")
    moved = any(
        operation != "query" and ended in ("succeeded", "indeterminate", None)
        for _, operation, ended in calls
    )
    assert outcome == ("indeterminate" if moved else "failed")
    # A query counts as the last call only while there is no other.
    last = ([call for call in calls if call[1] != "query"] or calls)[-1:]
    answered = not last or last[0][2] in ("succeeded", "declined")
    assert provider == ("none" if answered else last[0][0])


def test_every_pair_of_calls_has_one_reading() -> None:
    """The provider is the last that failed; the table is whole."""
    for first, second in product(("succeeded", "failed"), repeat=2):
        noted = ObservedCalls(StrayCalls())
        noted.begin("north", "authorize").end(first)
        noted.begin("south", "authorize").end(second)
        assert noted.failing_provider == ("south" if second == "failed" else "none")
        assert noted.last_provider == "south"


class OddOutcome(str, enum.Enum):  # noqa: UP042 - what many services still have
    """An outcome whose str() is its name."""

    SUCCEEDED = "succeeded"


@pytest.mark.parametrize("said", [OddOutcome.SUCCEEDED, "approved", "sucess"])
def test_an_outcome_of_any_spelling_proves_nothing(service: Recorder, said: str) -> None:
    """A class of strings whose text is another, and a word that nobody declared: money may have moved."""
    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200)), base_url="http://bank"
    )
    observed_calls.instrument(
        client, service, provider="north", operation="authorize", classify=lambda _: said
    )

    def pay() -> None:
        client.post("/")
        raise OwnBug

    assert end_by(service, pay) == {("indeterminate", "none"): 1}


def test_what_cannot_be_an_outcome_is_a_drop(service: Recorder) -> None:
    """As without any observed call: it reaches no payment, and nothing stays in flight."""
    client = answering(service, "north", 200)
    with service.payment("authorize") as payment:
        client.post("/authorize")
        payment.finish(["failed"])  # type: ignore[arg-type]
    text = service.render().decode()
    assert counted(service) == {}
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 1' in text
    assert 'moneypath_payments_in_flight{operation="authorize"} 0' in text


def test_what_was_handled_on_the_way_blames_nobody(service: Recorder) -> None:
    """A failover in the `except` branch and one after it read the same, whatever was handled."""
    down, up = answering(service, "north", httpx.ConnectError), answering(service, "south", 200)
    risk = OwnBug()
    risk.payment_outcome = "rejected"  # type: ignore[attr-defined]

    def inside() -> None:
        try:
            down.post("/authorize")
        except httpx.ConnectError:
            up.post("/authorize")
            raise OwnBug  # noqa: B904 - the point

    def behind() -> None:
        with contextlib.suppress(httpx.ConnectError):
            down.post("/authorize")
        up.post("/authorize")
        raise OwnBug

    def after_another_outcome() -> None:
        try:
            raise risk
        except OwnBug:
            up.post("/authorize")
            raise OwnBug  # noqa: B904 - the point

    for number, pay in enumerate((inside, behind, after_another_outcome), 1):
        assert end_by(service, pay) == {("indeterminate", "none"): number}


def test_an_exception_from_before_the_payment_says_nothing(service: Recorder) -> None:
    """North failed before the payment began, and was not called in it."""
    down, up = answering(service, "north", httpx.ReadTimeout), answering(service, "south", 200)
    try:
        down.post("/authorize")
    except httpx.ReadTimeout:

        def pay() -> None:
            up.post("/authorize")
            raise OwnBug from None

        assert end_by(service, pay) == {("indeterminate", "none"): 1}


async def test_given_up_because_another_failed_is_not_the_failure(service: Recorder) -> None:
    """A task group cancels the slow bank when the other one breaks: that one is named."""
    begun = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "north":
            await begun.wait()
            return httpx.Response(500)
        begun.set()
        await asyncio.Event().wait()
        return httpx.Response(200)

    clients = {}
    for name in ("north", "south"):
        clients[name] = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=f"http://{name}")
        observed_calls.instrument(clients[name], service, provider=name, operation="authorize")

    async def call(name: str) -> None:
        (await clients[name].post("/authorize")).raise_for_status()

    with pytest.raises(ExceptionGroup), service.payment("authorize"):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call("north"))
            tasks.create_task(call("south"))
    assert counted(service) == {("indeterminate", "north"): 1}


def test_payments_inside_each_other_and_out_of_order(service: Recorder) -> None:
    """What the inner one moved, the outer one knows; a block that ends late changes no other's calls."""
    client = answering(service, "south", 200)

    def nested() -> None:
        with service.payment("capture") as inner:
            client.post("/capture")
            inner.finish("succeeded")
        raise OwnBug

    counts = end_by(service, nested)
    assert counts == {("succeeded", "south"): 1, ("indeterminate", "none"): 1}

    def out_of_order() -> None:
        first, second = service.payment("authorize"), service.payment("authorize")
        first.__enter__()
        second.__enter__()
        first.finish("declined", "south")
        first.__exit__(None, None, None)
        client.post("/authorize")
        second.__exit__(OwnBug, OwnBug(), None)

    # Spans that end out of order leave another one active: not in the tests that follow.
    contextvars.copy_context().run(out_of_order)
    assert counted(service)["indeterminate", "none"] == 2


@pytest.mark.parametrize("status", [200, 503])
def test_a_call_that_no_payment_noted_may_have_been_this_ones(service: Recorder, status: int) -> None:
    """A pool of threads does not know the payment: `failed` would be a guess."""
    client = answering(service, "north", status)

    def pay() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(client.post, "/authorize").result()
        raise OwnBug

    assert end_by(service, pay) == {("indeterminate", "none"): 1}

    def before_any_call() -> None:
        raise OwnBug

    assert end_by(service, before_any_call)["failed", "none"] == 1


def test_a_provider_that_is_misspelt_loses_no_payment(service: Recorder) -> None:
    """Neither the payment's own, which shows in an outage alone, nor what an exception states."""
    error = OwnBug()
    error.payment_outcome, error.payment_provider = "failed", "visa"  # type: ignore[attr-defined]
    with pytest.raises(OwnBug), service.payment("authorize", provider="North"):
        raise OwnBug
    with pytest.raises(OwnBug), service.payment("authorize"):
        raise error
    assert counted(service) == {("failed", "none"): 2}


def test_an_error_that_is_swallowed_without_a_word_counts(service: Recorder) -> None:
    """The service answers 503 itself and leaves the block: its calls know how it ended."""
    client = answering(service, "north", httpx.ReadTimeout)
    with service.payment("authorize"), contextlib.suppress(httpx.ReadTimeout):
        client.post("/authorize")
    assert counted(service) == {("indeterminate", "north"): 1}
    well = answering(service, "south", 200)
    with service.payment("authorize"):
        well.post("/authorize")
    # It was answered, and nobody said how: that would be a guess.
    assert 'moneypath_telemetry_drops_total{reason="unfinished"} 1' in service.render().decode()
