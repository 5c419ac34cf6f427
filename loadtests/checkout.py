r"""A shop's checkout: authorize, capture, sometimes refund, and log every request and answer.

Run it from the top folder of the repository, so that its modules are found:

    MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE=run/acknowledgements.jsonl \
    MONEYPATH_CHECKOUT_CLIENT_FILE=run/secrets/checkout_client \
    python -m locust -f loadtests/checkout.py --headless --host http://127.0.0.1:8080 --run-time 60s

    MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE  one JSON object a line for each request before it is sent
                                        and for each answer; required
    MONEYPATH_CHECKOUT_CLIENT_FILE      holds the client's name:secret; required; never printed
    MONEYPATH_SEED                      decides amounts, currencies, cards and refunds; default 1
    MONEYPATH_CARD_RANGE_WEIGHTS        default 411111=6,550000=4
    MONEYPATH_CHECKOUTS_PER_SECOND      limit for all users together; 0.01 to 200, default 5
    MONEYPATH_USERS                     1 to 200, default 10; overrides --users
    MONEYPATH_CHECKOUTS_MAX             the run ends after so many; 1 to 1000000, default 100000
    MONEYPATH_RESEND_RATIO              share of requests repeated after their answer; default 0.05
    MONEYPATH_REFUND_RATIO              share of captures refunded, in full or by half; default 0.05
    MONEYPATH_RETRY_INTERVAL_SECONDS    0.01 to 10, default 0.5
    MONEYPATH_RETRY_BUDGET_SECONDS      0 to 120, default 20; afterwards the outcome stays unknown
    MONEYPATH_ANSWER_SECONDS            time limit of one answer; 0.1 to 60, default 10
    MONEYPATH_REQUEST_LOG_FILE          where due, sent and answered of each request are appended; optional
    MONEYPATH_TURNS                     when checkouts are due, in Unix seconds: 1700000000-1700000010,...

One process writes one acknowledgement log, so do not use --processes or --worker. Without --run-time it ends
after an hour. A request without an answer, with an unknown outcome, or to a busy or unavailable service is
retried with the SAME key, as every client of a payment service must do. A user waits for its answer before it
begins another checkout, so there must be more users than rate x slowest expected checkout. With a log of
requests the schedule is open: checkouts are due at instants that no answer moves, and the next free user
takes the next one. Without it, each user's next checkout is due one pacing after its last.

SIGTERM stops it in order: retries stop, and requests in flight get their answer. The exit code is 0 however
many payments failed, because that is the service's result and is in the acknowledgement log; 3 if a repeated
request did not get the stored answer; 1 if a setting is wrong, with one sentence on stderr.
"""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from loadtests.acknowledgement_log import AcknowledgementLog, AcknowledgementLogUnwritable, RequestLine
from loadtests.answers import NO_ANSWER, Answer, Operation, read_answer
from loadtests.orders import Order, Orders
from loadtests.request_log import RequestLog
from loadtests.schedule import Due, Schedule, make_clock
from loadtests.settings import Settings, SettingsInvalid, read_settings, require_loopback
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.event import EventHook

from moneypath.outcomes import DEFINITIVE, Outcome
from moneypath.stack.tokens import TokenSource, TokenUnavailable, read_client_name

_SCOPES = ("payments:authorize", "payments:capture", "payments:refund", "payments:read")
UNAUTHORIZED = 401
REPLAY = "replay"
_RUN_SECONDS_MAX = 3600
_READS_MAX = 5
_REPLAY_MISMATCH_EXIT_CODE = 3

logger = logging.getLogger("moneypath.checkout")


@dataclass(slots=True)
class Run:
    """State that all users of this process share."""

    settings: Settings
    tokens: TokenSource
    acknowledgement_log: AcknowledgementLog
    nonce: str
    merchant: str
    stopping: Event = field(default_factory=Event)
    users: "count[int]" = field(default_factory=count)
    begun: int = 0
    replay_mismatches: int = 0
    # With a log of requests the schedule is open.
    now: Callable[[], float] = field(default_factory=make_clock)
    requests: RequestLog | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """One state change. However often it is sent, it is the same request with the same key."""

    operation: Operation
    order: Order
    path: str
    route: str
    amount_minor: int
    body: dict[str, object]
    payment_id: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key. An order has at most one operation of each kind."""
        return f"{self.order.reference}-{self.operation}"


def _felt(send: Callable[..., Answer]) -> Callable[..., Answer]:
    """Log when a request was due and sent, and its last answer, if requests are logged."""

    def logged(user: "CheckoutUser", request: PaymentRequest, stored: Answer | None = None) -> Answer:
        log = user.run_state.requests
        user.status_codes = []
        if log is None:
            return send(user, request, stored)
        first = stored is None and request.operation is Operation.AUTHORIZE
        due = user.due_next if first else None
        number = log.begin(
            request.operation if stored is None else REPLAY,
            None if due is None else due.at,
            skipped=0 if due is None else due.skipped,
        )
        answer = send(user, request, stored)
        log.end(number, answer.outcome, user.status_codes)
        return answer

    return logged


class CheckoutUser(FastHttpUser):
    """One checkout after the other."""

    run_state: ClassVar[Run]
    connection_timeout = 2.0
    due_next: Due | None = None
    status_codes: list[int]

    def on_start(self) -> None:
        """Wait for a random part of the pacing, so that the users' orders spread evenly over time."""
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
        if self.run_state.schedule is not None:
            self.run_state.stopping.wait(self._wait_until_due(self.run_state.schedule))
            return
        self.run_state.stopping.wait(self.orders.first_pause(self._pacing_seconds))
        self._due = time.perf_counter()

    def wait_time(self) -> float:
        """Return the seconds to the next checkout: one pacing after the last one was due.

        A delay is not made up for. Locust's constant_throughput counts from the start of the user instead of
        its first checkout, and begins with a burst above the rate.
        """
        if self.run_state.schedule is not None:
            return self._wait_until_due(self.run_state.schedule)
        now = time.perf_counter()
        self._due = max(self._due + self._pacing_seconds, now)
        return self._due - now

    def _wait_until_due(self, schedule: Schedule) -> float:
        due = self.due_next = schedule.take()
        # After the last turn nothing is due any more.
        return _RUN_SECONDS_MAX if due is None else max(0.0, due.at - self.run_state.now())

    @task
    def checkout(self) -> None:
        """Authorize one order, capture it if that succeeded, and refund it if the order has a refund."""
        run = self.run_state
        if run.stopping.is_set():
            return
        if run.begun >= run.settings.checkouts_max:
            run.stopping.set()
            # In another greenlet, because quit() stops this one.
            gevent.spawn(self.environment.runner.quit)
            return
        run.begun += 1
        order = self.orders.next_order()
        authorized = self._request_final_answer(_authorization(order))
        payment_id = authorized.payment_id
        if authorized.outcome is not Outcome.SUCCEEDED or payment_id is None or run.stopping.is_set():
            return
        captured = self._request_final_answer(_capture(order, payment_id))
        refund_minor = order.refund_minor
        if captured.outcome is Outcome.SUCCEEDED and refund_minor is not None and not run.stopping.is_set():
            self._request_final_answer(_refund(order, payment_id, refund_minor))

    def _request_final_answer(self, request: PaymentRequest) -> Answer:
        """Send a request until its answer is definitive, within a time limit; return the last answer."""
        answer = self._send_until_definitive(request)
        if answer.again and request.operation is Operation.AUTHORIZE and answer.payment_id:
            return self._read_until_definitive(request, answer)
        if answer.outcome in DEFINITIVE and request.order.resends:
            self._send_until_definitive(request, stored=answer)
        return answer

    @_felt
    def _send_until_definitive(self, request: PaymentRequest, stored: Answer | None = None) -> Answer:
        settings, stopping = self.run_state.settings, self.run_state.stopping
        deadline = time.monotonic() + settings.retry_budget_seconds
        while True:
            answer = self._send(request, stored)
            self.status_codes.append(answer.status_code)
            pause = max(settings.retry_interval_seconds, answer.retry_after_seconds)
            if not answer.again or time.monotonic() + pause > deadline or stopping.wait(pause):
                return answer

    def _read_until_definitive(self, request: PaymentRequest, answer: Answer) -> Answer:
        payment_id = answer.payment_id
        for _ in range(_READS_MAX):
            answer = self._read(request, f"/v1/payments/{payment_id}")
            pause = self.run_state.settings.retry_interval_seconds
            if answer.outcome in DEFINITIVE or self.run_state.stopping.wait(pause):
                break
        return answer

    def _send(self, request: PaymentRequest, stored: Answer | None) -> Answer:
        line = self._begin(request)
        answer = NO_ANSWER
        try:
            answer = self._post(request, stored)
            if answer.status_code == UNAUTHORIZED:
                # The signing key may be retired: try once more with a new token.
                self._log_answer(line, request, answer)
                line, answer = self._begin(request), NO_ANSWER
                answer = self._post(request, stored)
        except TokenUnavailable as error:
            logger.warning("%s", error.what)
        finally:
            # Also when this user is stopped during a request: the outcome is unknown then.
            self._log_answer(line, request, answer)
        return answer

    def _post(self, request: PaymentRequest, stored: Answer | None) -> Answer:
        token = self.run_state.tokens.header()
        headers = {"Authorization": token, "Idempotency-Key": request.key}
        with self.client.post(
            request.path, json=request.body, headers=headers, name=request.route, catch_response=True
        ) as response:
            answer = read_answer(request.operation, response.status_code, response.headers, response.content)
            if stored is not None and answer.outcome in DEFINITIVE and not _repeats(answer, stored):
                self.run_state.replay_mismatches += 1
                response.failure("the stored answer was not repeated")
            else:
                _report(response, answer)
        if answer.status_code == UNAUTHORIZED:
            self.run_state.tokens.forget(token)
        return answer

    def _read(self, request: PaymentRequest, path: str) -> Answer:
        try:
            headers = {"Authorization": self.run_state.tokens.header()}
        except TokenUnavailable:
            return NO_ANSWER
        line = self._begin(request)
        answer = NO_ANSWER
        try:
            with self.client.get(
                path, headers=headers, name="GET /v1/payments/{id}", catch_response=True
            ) as response:
                answer = read_answer(
                    request.operation, response.status_code, response.headers, response.content
                )
                _report(response, answer)
            if answer.outcome in (Outcome.REJECTED, Outcome.UNPROCESSED):
                # A refused read does not show what became of the payment.
                answer = replace(answer, outcome=Outcome.UNKNOWN)
        finally:
            self._log_answer(line, request, answer)
        return answer

    def _begin(self, request: PaymentRequest) -> RequestLine:
        """Record a request before it is sent, or movements of a killed client would be nobody's."""
        line = RequestLine(
            request.operation,
            request.key,
            request.order.reference,
            self.run_state.merchant,
            request.amount_minor,
            request.order.currency,
        )
        self.run_state.acknowledgement_log.append_request(line)
        return line

    def _log_answer(self, line: RequestLine, request: PaymentRequest, answer: Answer) -> None:
        self.run_state.acknowledgement_log.append_answer(
            line, answer, answer.payment_id or request.payment_id
        )


def _authorization(order: Order) -> PaymentRequest:
    body: dict[str, object] = {
        "merchant_reference": order.reference,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "card_token": order.card_token,
    }
    route = "/v1/payments"
    return PaymentRequest(Operation.AUTHORIZE, order, route, f"POST {route}", order.amount_minor, body)


def _capture(order: Order, payment_id: str) -> PaymentRequest:
    # A full capture has no amount, as in most shops.
    partial = order.capture_minor != order.amount_minor
    body: dict[str, object] = {"amount_minor": order.capture_minor} if partial else {}
    path, route = f"/v1/payments/{payment_id}/capture", "POST /v1/payments/{id}/capture"
    return PaymentRequest(Operation.CAPTURE, order, path, route, order.capture_minor, body, payment_id)


def _refund(order: Order, payment_id: str, amount_minor: int) -> PaymentRequest:
    path, route = f"/v1/payments/{payment_id}/refunds", "POST /v1/payments/{id}/refunds"
    return PaymentRequest(
        Operation.REFUND, order, path, route, amount_minor, {"amount_minor": amount_minor}, payment_id
    )


def _repeats(answer: Answer, stored: Answer) -> bool:
    return answer.replayed and (answer.status_code, answer.body) == (stored.status_code, stored.body)


def _report(response: Any, answer: Answer) -> None:  # Any: locust leaves its response class open
    if answer.outcome in (Outcome.SUCCEEDED, Outcome.DECLINED):
        response.success()
    else:
        response.failure(f"{answer.outcome} ({answer.code})")


def prepare(environment: Environment, **_: object) -> None:
    """Read and check all settings before the first request, or exit with one sentence."""
    try:
        settings = read_settings(os.environ)
        environment.host = require_loopback(environment.host)
        acknowledgement_log = AcknowledgementLog(settings.acknowledgement_log_file)
    except (SettingsInvalid, AcknowledgementLogUnwritable) as error:
        sys.exit(f"checkout load test: {error}")
    tokens = TokenSource(environment.host, settings.client_file, *_SCOPES)
    CheckoutUser.run_state = Run(
        settings,
        tokens,
        acknowledgement_log,
        nonce=secrets.token_hex(4),
        merchant=read_client_name(settings.client_file),
    )
    CheckoutUser.network_timeout = settings.answer_seconds
    # Requests in flight get their answer, or time out, before their user is stopped.
    environment.stop_timeout = max(environment.stop_timeout, settings.answer_seconds + 2)
    options = environment.parsed_options
    if options is not None:
        options.num_users = options.spawn_rate = settings.users
        options.run_time = min(options.run_time or _RUN_SECONDS_MAX, _RUN_SECONDS_MAX)
    _listen(environment.events.test_stopping, stop_retrying)
    _listen(environment.events.quitting, decide_exit_code)
    _listen(environment.events.quit, close_acknowledgement_log)


def open_schedule(**_: object) -> None:
    """Make the schedule an open one if requests are to be logged, or exit with one sentence."""
    run = CheckoutUser.run_state
    settings = run.settings
    if settings.request_log_file is None:
        return
    try:
        run.requests = RequestLog(settings.request_log_file, run.now)
    except AcknowledgementLogUnwritable as error:
        sys.exit(f"checkout load test: {error}")
    run.schedule = Schedule(
        rate=settings.checkouts_per_second,
        users=settings.users,
        seed=settings.seed,
        turns=settings.turns,
        now=run.now,
    )


def stop_retrying(**_: object) -> None:
    """End every wait between two attempts."""
    CheckoutUser.run_state.stopping.set()


def decide_exit_code(environment: Environment, **_: object) -> None:
    """Exit with 3 if a stored answer was not repeated; failed payments are results of the service, not
    failures.
    """
    broken = CheckoutUser.run_state.replay_mismatches
    if broken:
        logger.error("%d repeated requests were not answered with the stored answer", broken)
        environment.process_exit_code = _REPLAY_MISMATCH_EXIT_CODE
    elif environment.runner is not None and not environment.runner.exceptions:
        environment.process_exit_code = 0


def close_acknowledgement_log(**_: object) -> None:
    """Sync both logs to disk and close them."""
    run = CheckoutUser.run_state
    run.acknowledgement_log.close()
    if run.requests is not None:
        run.requests.close()


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)  # type: ignore[no-untyped-call]  # locust does not annotate it


_listen(events.init, prepare)
_listen(events.init, open_schedule)
