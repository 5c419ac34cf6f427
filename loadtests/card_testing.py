r"""A card tester: many small authorizations of one card range, each with a new card, never captured.

Run it from the top folder of the repository, beside the checkout load test or alone:

    MONEYPATH_CHECKOUT_CLIENT_FILE=run/secrets/checkout_client MONEYPATH_CARD_RANGE=455555 \
    python -m locust -f loadtests/card_testing.py --headless --host http://127.0.0.1:8080 --run-time 60s

    MONEYPATH_CHECKOUT_CLIENT_FILE      holds the client's name:secret; required
    MONEYPATH_CARD_RANGE                six digits that begin with 4 or 5; required
    MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE  as of the checkout test; default: nowhere
    MONEYPATH_SEED                      decides amounts and cards; default 1
    MONEYPATH_CARDS_PER_SECOND          limit for all users together; 0.1 to 100, default 10
    MONEYPATH_USERS                     1 to 50, default 5; overrides --users
    MONEYPATH_CARDS_MAX                 the run ends after so many cards; 1 to 10000, default 1000
    MONEYPATH_ANSWER_SECONDS            time limit of one answer; 0.1 to 60, default 10

It only sends requests. To have most cards declined, switch on the fault `decline` for the range at the
acquirers. The traffic counts as live, because attackers set no header. No request is repeated: a card without
an answer is given up. Without --run-time it ends after ten minutes. The exit code is 0 however many cards
were declined or blocked, and 1 if a setting is wrong, with one sentence on stderr.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import ClassVar

import gevent
from gevent.event import Event
from loadtests.acknowledgement_log import AcknowledgementLog, AcknowledgementLogUnwritable, RequestLine
from loadtests.answers import NO_ANSWER, Answer, Operation, read_answer
from loadtests.settings import (
    CardTestingSettings,
    SettingsInvalid,
    read_card_testing_settings,
    require_loopback,
)
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.event import EventHook

from moneypath.outcomes import Outcome
from moneypath.stack.tokens import TokenSource, TokenUnavailable, read_client_name

UNAUTHORIZED = 401
_RUN_SECONDS_MAX = 600
_AMOUNTS_MINOR = (100, 300)
_CURRENCY = "EUR"
_PATH = "/v1/payments"


@dataclass(slots=True)
class Attack:
    """State that all users of this process share."""

    settings: CardTestingSettings
    tokens: TokenSource
    acknowledgement_log: AcknowledgementLog | None
    nonce: str
    merchant: str
    stopping: Event = field(default_factory=Event)
    users: "count[int]" = field(default_factory=count)
    begun: int = 0


class CardTester(FastHttpUser):
    """Tries one card after the other."""

    attack: ClassVar[Attack]
    connection_timeout = 2.0

    def on_start(self) -> None:
        """Wait for a random part of the pacing, so that the users' cards spread evenly over time."""
        settings = self.attack.settings
        self._user = next(self.attack.users)
        self._random = Random(f"{settings.seed}/{self._user}")  # noqa: S311 - made-up cards, not secrets
        self._pacing_seconds = settings.users / settings.cards_per_second
        self.attack.stopping.wait(self._random.uniform(0, self._pacing_seconds))
        self._due = time.perf_counter()
        self._tried = 0

    def wait_time(self) -> float:
        """Return the seconds to the next card: one pacing after the last one was due."""
        now = time.perf_counter()
        self._due = max(self._due + self._pacing_seconds, now)
        return self._due - now

    @task
    def try_card(self) -> None:
        """Authorize a small amount with a card that was not used before."""
        attack = self.attack
        if attack.stopping.is_set():
            return
        if attack.begun >= attack.settings.cards_max:
            attack.stopping.set()
            # In another greenlet, because quit() stops this one.
            gevent.spawn(self.environment.runner.quit)
            return
        attack.begun += 1
        self._tried += 1
        reference = f"try-{attack.nonce}-{self._user}-{self._tried}"
        amount_minor = self._random.randint(*_AMOUNTS_MINOR)
        card_token = f"tok_{attack.settings.card_range}_{self._random.getrandbits(64):016x}"
        line = RequestLine(
            Operation.AUTHORIZE, _key_of(reference), reference, attack.merchant, amount_minor, _CURRENCY
        )
        answer, log = NO_ANSWER, attack.acknowledgement_log
        if log is not None:
            log.append_request(line)
        try:
            answer = self._send(reference, amount_minor, card_token)
            if answer.status_code == UNAUTHORIZED:
                if log is not None:
                    log.append_answer(line, answer, None)
                    log.append_request(line)
                answer = NO_ANSWER
                answer = self._send(reference, amount_minor, card_token)
        except TokenUnavailable:
            # Attackers report nothing.
            pass
        finally:
            # Also when this user is stopped during a request: the outcome is unknown then.
            if log is not None:
                log.append_answer(line, answer, answer.payment_id)

    def _send(self, reference: str, amount_minor: int, card_token: str) -> Answer:
        body = {
            "merchant_reference": reference,
            "amount_minor": amount_minor,
            "currency": _CURRENCY,
            "card_token": card_token,
        }
        token = self.attack.tokens.header()
        headers = {"Authorization": token, "Idempotency-Key": _key_of(reference)}
        with self.client.post(
            _PATH, json=body, headers=headers, name=f"POST {_PATH}", catch_response=True
        ) as response:
            answer = read_answer(
                Operation.AUTHORIZE, response.status_code, response.headers, response.content
            )
            if answer.outcome in (Outcome.SUCCEEDED, Outcome.DECLINED) or answer.code == "risk_blocked":
                response.success()
            else:
                response.failure(f"{answer.outcome} ({answer.code})")
        if answer.status_code == UNAUTHORIZED:
            self.attack.tokens.forget(token)
        return answer


def _key_of(reference: str) -> str:
    return f"{reference}-{Operation.AUTHORIZE}"


def prepare(environment: Environment, **_: object) -> None:
    """Read and check all settings before the first request, or exit with one sentence."""
    try:
        settings = read_card_testing_settings(os.environ)
        environment.host = require_loopback(environment.host)
        acknowledgement_log = (
            None
            if settings.acknowledgement_log_file is None
            else AcknowledgementLog(settings.acknowledgement_log_file)
        )
    except (SettingsInvalid, AcknowledgementLogUnwritable) as error:
        sys.exit(f"card testing: {error}")
    tokens = TokenSource(environment.host, settings.client_file, "payments:authorize")
    CardTester.attack = Attack(
        settings,
        tokens,
        acknowledgement_log,
        nonce=secrets.token_hex(4),
        merchant=read_client_name(settings.client_file),
    )
    CardTester.network_timeout = settings.answer_seconds
    # Requests in flight get their answer, or time out, before their user is stopped.
    environment.stop_timeout = max(environment.stop_timeout, settings.answer_seconds + 2)
    options = environment.parsed_options
    if options is not None:
        options.num_users = options.spawn_rate = settings.users
        options.run_time = min(options.run_time or _RUN_SECONDS_MAX, _RUN_SECONDS_MAX)
    _listen(environment.events.test_stopping, stop_waiting)
    _listen(environment.events.quitting, decide_exit_code)
    _listen(environment.events.quit, close_acknowledgement_log)


def stop_waiting(**_: object) -> None:
    """End every wait before a first card."""
    CardTester.attack.stopping.set()


def decide_exit_code(environment: Environment, **_: object) -> None:
    """Exit with 0 unless the load test itself failed: declined and blocked cards are results, not
    failures.
    """
    if environment.runner is not None and not environment.runner.exceptions:
        environment.process_exit_code = 0


def close_acknowledgement_log(**_: object) -> None:
    """Sync the acknowledgement log to disk and close it."""
    if CardTester.attack.acknowledgement_log is not None:
        CardTester.attack.acknowledgement_log.close()


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)  # type: ignore[no-untyped-call]  # locust does not annotate it


_listen(events.init, prepare)
