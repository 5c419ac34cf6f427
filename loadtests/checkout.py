"""A shop's checkout: authorize, then capture, sometimes refund, and write down every answer.

Run it from the top folder of the repository, so that its modules are found:

    MONEYPATH_JOURNAL_FILE=run/journal.jsonl MONEYPATH_CHECKOUT_CLIENT_FILE=run/secrets/checkout_client \\
    python -m locust -f loadtests/checkout.py --headless --host http://127.0.0.1:8080 --run-time 60s

    MONEYPATH_JOURNAL_FILE            where answers are appended, one JSON object a line; required
    MONEYPATH_CHECKOUT_CLIENT_FILE    file with the client's name:secret; required; never printed
    MONEYPATH_SEED                    decides amounts, currencies, cards and refunds; default 1
    MONEYPATH_CARD_RANGE_WEIGHTS      default 411111=6,550000=4
    MONEYPATH_CHECKOUTS_PER_SECOND    of all users together, a ceiling; 0.01 to 200, default 5
    MONEYPATH_USERS                   1 to 200, default 10; wins over --users
    MONEYPATH_CHECKOUTS_MAX           the run ends after so many; 1 to 1000000, default 100000
    MONEYPATH_RESEND_RATIO            share of answers asked for again with the same key; default 0.05
    MONEYPATH_REFUND_RATIO            share of captures refunded, whole or by half; default 0.05
    MONEYPATH_RETRY_INTERVAL_SECONDS  0.01 to 10, default 0.5
    MONEYPATH_RETRY_BUDGET_SECONDS    0 to 120, default 20; then the answer stays unknown
    MONEYPATH_ANSWER_SECONDS          how long one answer is awaited; 0.1 to 60, default 10

One process writes one journal, so leave --processes and --worker alone. Without --run-time it ends after an
hour. No answer, an unknown outcome, a busy or unavailable service are asked again with the SAME key, as
every client of a payment service must. A user waits for its answer before it begins another checkout, so
users must outnumber rate x slowest expected checkout.

SIGTERM ends it in order: retries stop, requests under way get their answer. Exit code 0 however many
payments failed, because that is the service's affair and stands in the journal; 3 when a repeated request
was not answered with the stored answer; 1 when a setting is wrong, with one sentence on stderr.
"""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from loadtests.answers import NO_ANSWER, PROMISES, RETRIED, Answer, Operation, Outcome, read_answer
from loadtests.journal import Journal, JournalUnwritable
from loadtests.orders import Order, Orders
from loadtests.settings import Settings, SettingsInvalid, read_settings, require_loopback
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.event import EventHook

from moneypath.stack.tokens import TokenSource, TokenUnavailable

_SCOPES = ("payments:authorize", "payments:capture", "payments:refund", "payments:read")
UNAUTHORIZED = 401
_RUN_SECONDS_MAX = 3600
_READS_MAX = 5
_BROKEN_PROMISE_EXIT_CODE = 3

logger = logging.getLogger("moneypath.checkout")


@dataclass(slots=True)
class Run:
    """What all users of this process share."""

    settings: Settings
    tokens: TokenSource
    journal: Journal
    nonce: str
    stopping: Event = field(default_factory=Event)
    users: "count[int]" = field(default_factory=count)
    begun: int = 0
    broken_promises: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One state change; sent any number of times, it is the same request with the same key."""

    operation: Operation
    order: Order
    path: str
    route: str
    amount_minor: int
    body: dict[str, object]
    payment_id: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key; a reference never begins two operations of one kind."""
        return f"{self.order.reference}-{self.operation}"


class CheckoutUser(FastHttpUser):
    """One shopper after the other at one till."""

    run_state: ClassVar[Run]
    connection_timeout = 2.0

    def on_start(self) -> None:
        """Wait a part of the pacing, so that the users' orders spread evenly over time."""
        settings = self.run_state.settings
        self.orders = Orders(
            seed=settings.seed,
            user=next(self.run_state.users),
            nonce=self.run_state.nonce,
            card_range_weights=settings.card_range_weights,
            refund_ratio=settings.refund_ratio,
            resend_ratio=settings.resend_ratio,
        )
        self._pacing_seconds = settings.users / settings.checkouts_per_second
        self.run_state.stopping.wait(self.orders.first_pause(self._pacing_seconds))
        self._due = time.perf_counter()

    def wait_time(self) -> float:
        """Return the seconds to the next checkout, a full pacing after the last one was due.

        Being late is never made up for. Locust's constant_throughput counts from the birth of the user,
        not from its first checkout, and begins with a burst over the rate.
        """
        now = time.perf_counter()
        self._due = max(self._due + self._pacing_seconds, now)
        return self._due - now

    @task
    def checkout(self) -> None:
        """Authorize one order, capture it if that worked, and refund it if it says so."""
        run = self.run_state
        if run.stopping.is_set():
            return
        if run.begun >= run.settings.checkouts_max:
            run.stopping.set()
            # In a greenlet of its own: this one is among those that are stopped, and would stop the stopping.
            gevent.spawn(self.environment.runner.quit)
            return
        run.begun += 1
        order = self.orders.next_order()
        authorized = self._settle(_authorization(order))
        payment_id = authorized.payment_id
        if authorized.outcome is not Outcome.SUCCEEDED or payment_id is None or run.stopping.is_set():
            return
        captured = self._settle(_capture(order, payment_id))
        refund_minor = order.refund_minor
        if captured.outcome is Outcome.SUCCEEDED and refund_minor is not None and not run.stopping.is_set():
            self._settle(_refund(order, payment_id, refund_minor))

    def _settle(self, ask: Ask) -> Answer:
        """Ask until there is a definitive answer, for a bounded time; the last answer counts."""
        answer = self._ask_until_told(ask)
        if answer.outcome in RETRIED and ask.operation is Operation.AUTHORIZE and answer.payment_id:
            return self._read_until_told(ask, answer)
        if answer.outcome in PROMISES and ask.order.resends:
            self._ask_until_told(ask, stored=answer)
        return answer

    def _ask_until_told(self, ask: Ask, stored: Answer | None = None) -> Answer:
        settings, stopping = self.run_state.settings, self.run_state.stopping
        deadline = time.monotonic() + settings.retry_budget_seconds
        while True:
            answer = self._send(ask, stored)
            pause = max(settings.retry_interval_seconds, answer.retry_after_seconds)
            if answer.outcome not in RETRIED or time.monotonic() + pause > deadline or stopping.wait(pause):
                return answer

    def _read_until_told(self, ask: Ask, answer: Answer) -> Answer:
        payment_id = answer.payment_id
        for _ in range(_READS_MAX):
            answer = self._read(ask, f"/v1/payments/{payment_id}")
            pause = self.run_state.settings.retry_interval_seconds
            if answer.outcome in PROMISES or self.run_state.stopping.wait(pause):
                break
        return answer

    def _send(self, ask: Ask, stored: Answer | None) -> Answer:
        answer = NO_ANSWER
        try:
            answer = self._post(ask, stored)
            if answer.status_code == UNAUTHORIZED:
                # Its key may be retired: the next token is another, and one that is refused again counts.
                answer = self._post(ask, stored)
        except TokenUnavailable as error:
            logger.warning("%s", error.what)
        finally:
            # Also when this user is stopped in mid-request: it asked, and does not know.
            self._write_down(ask, answer)
        return answer

    def _post(self, ask: Ask, stored: Answer | None) -> Answer:
        token = self.run_state.tokens.header()
        headers = {"Authorization": token, "Idempotency-Key": ask.key}
        with self.client.post(
            ask.path, json=ask.body, headers=headers, name=ask.route, catch_response=True
        ) as response:
            answer = read_answer(ask.operation, response.status_code, response.headers, response.content)
            if stored is not None and answer.outcome in PROMISES and not _repeats(answer, stored):
                self.run_state.broken_promises += 1
                response.failure("the stored answer was not repeated")
            else:
                _report(response, answer)
        if answer.status_code == UNAUTHORIZED:
            self.run_state.tokens.forget(token)
        return answer

    def _read(self, ask: Ask, path: str) -> Answer:
        try:
            headers = {"Authorization": self.run_state.tokens.header()}
        except TokenUnavailable:
            return NO_ANSWER
        with self.client.get(
            path, headers=headers, name="GET /v1/payments/{id}", catch_response=True
        ) as response:
            answer = read_answer(ask.operation, response.status_code, response.headers, response.content)
            _report(response, answer)
        if answer.outcome is not Outcome.REJECTED:  # not being allowed to read says nothing of the payment
            self._write_down(ask, answer)
        return answer

    def _write_down(self, ask: Ask, answer: Answer) -> None:
        self.run_state.journal.append(
            {
                "at": round(time.time(), 6),
                "operation": ask.operation,
                "idempotency_key": ask.key,
                "merchant_reference": ask.order.reference,
                "payment_id": answer.payment_id or ask.payment_id,
                "amount_minor": ask.amount_minor,
                "currency": ask.order.currency,
                "status_code": answer.status_code,
                "outcome": answer.outcome,
                "replayed": answer.replayed,
            }
        )


def _authorization(order: Order) -> Ask:
    body: dict[str, object] = {
        "merchant_reference": order.reference,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "card_token": order.card_token,
    }
    route = "/v1/payments"
    return Ask(Operation.AUTHORIZE, order, route, f"POST {route}", order.amount_minor, body)


def _capture(order: Order, payment_id: str) -> Ask:
    # A full capture names no amount, as most shops do.
    partial = order.capture_minor != order.amount_minor
    body: dict[str, object] = {"amount_minor": order.capture_minor} if partial else {}
    path, route = f"/v1/payments/{payment_id}/capture", "POST /v1/payments/{id}/capture"
    return Ask(Operation.CAPTURE, order, path, route, order.capture_minor, body, payment_id)


def _refund(order: Order, payment_id: str, amount_minor: int) -> Ask:
    path, route = f"/v1/payments/{payment_id}/refunds", "POST /v1/payments/{id}/refunds"
    return Ask(Operation.REFUND, order, path, route, amount_minor, {"amount_minor": amount_minor}, payment_id)


def _repeats(answer: Answer, stored: Answer) -> bool:
    return answer.replayed and (answer.status_code, answer.body) == (stored.status_code, stored.body)


def _report(response: Any, answer: Answer) -> None:  # Any: locust leaves its response class open
    if answer.outcome in (Outcome.SUCCEEDED, Outcome.DECLINED):
        response.success()
    else:
        response.failure(f"{answer.outcome} ({answer.code})")


def prepare(environment: Environment, **_: object) -> None:
    """Read and check everything before the first request, or end with one sentence."""
    try:
        settings = read_settings(os.environ)
        environment.host = require_loopback(environment.host)
        journal = Journal(settings.journal_file)
    except (SettingsInvalid, JournalUnwritable) as error:
        sys.exit(f"checkout load test: {error}")
    tokens = TokenSource(environment.host, settings.client_file, *_SCOPES)
    CheckoutUser.run_state = Run(settings, tokens, journal, nonce=secrets.token_hex(4))
    CheckoutUser.network_timeout = settings.answer_seconds
    # A request under way gets its answer, or its own time-out, before its user is stopped.
    environment.stop_timeout = max(environment.stop_timeout, settings.answer_seconds + 2)
    options = environment.parsed_options
    if options is not None:
        options.num_users = options.spawn_rate = settings.users
        options.run_time = min(options.run_time or _RUN_SECONDS_MAX, _RUN_SECONDS_MAX)
    _listen(environment.events.test_stopping, stop_retrying)
    _listen(environment.events.quitting, decide_exit_code)
    _listen(environment.events.quit, close_journal)


def stop_retrying(**_: object) -> None:
    """End every pause between two attempts."""
    CheckoutUser.run_state.stopping.set()


def decide_exit_code(environment: Environment, **_: object) -> None:
    """Failed payments are findings, not failures of the load test; broken promises and our errors are."""
    broken = CheckoutUser.run_state.broken_promises
    if broken:
        logger.error("%d repeated requests were not answered with the stored answer", broken)
        environment.process_exit_code = _BROKEN_PROMISE_EXIT_CODE
    elif environment.runner is not None and not environment.runner.exceptions:
        environment.process_exit_code = 0


def close_journal(**_: object) -> None:
    """Force the journal to disk."""
    CheckoutUser.run_state.journal.close()


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)  # type: ignore[no-untyped-call]  # locust does not annotate it


_listen(events.init, prepare)
