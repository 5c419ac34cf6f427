"""A card tester: many small authorizations of one card range, each with a card of its own, never captured.

Run it from the top folder of the repository, beside the checkout load test or alone:

    MONEYPATH_CHECKOUT_CLIENT_FILE=run/secrets/checkout_client MONEYPATH_CARD_RANGE=455555 \\
    python -m locust -f loadtests/card_testing.py --headless --host http://127.0.0.1:8080 --run-time 60s

    MONEYPATH_CHECKOUT_CLIENT_FILE file with the client's name:secret; required; attackers use the shop's door
    MONEYPATH_CARD_RANGE           six digits that begin with 4 or 5; required
    MONEYPATH_JOURNAL_FILE         where answers are appended as the checkout test does; default: nowhere
    MONEYPATH_SEED                 decides amounts and cards; default 1
    MONEYPATH_CARDS_PER_SECOND     of all users together, a ceiling; 0.1 to 100, default 10
    MONEYPATH_USERS                1 to 50, default 5; wins over --users
    MONEYPATH_CARDS_MAX            the run ends after so many; 1 to 10000, default 1000
    MONEYPATH_ANSWER_SECONDS       how long one answer is awaited; 0.1 to 60, default 10

It only sends: that most cards are declined is the acquirers' affair, a fault `decline` on the range. The
traffic counts as live, because attackers set no header. Nobody asks twice: a card without an answer is given
up. Without --run-time it ends after ten minutes. Exit code 0 however many cards were declined or blocked; 1
when a setting is wrong, with one sentence on stderr.
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
from loadtests.answers import NO_ANSWER, Answer, Operation, Outcome, read_answer
from loadtests.journal import Journal, JournalUnwritable
from loadtests.settings import (
    CardTestingSettings,
    SettingsInvalid,
    read_card_testing_settings,
    require_loopback,
)
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.event import EventHook

from moneypath.stack.tokens import TokenSource, TokenUnavailable

UNAUTHORIZED = 401
_RUN_SECONDS_MAX = 600
_AMOUNTS_MINOR = (100, 300)
_CURRENCY = "EUR"
_PATH = "/v1/payments"


@dataclass(slots=True)
class Attack:
    """What all users of this process share."""

    settings: CardTestingSettings
    tokens: TokenSource
    journal: Journal | None
    nonce: str
    stopping: Event = field(default_factory=Event)
    users: "count[int]" = field(default_factory=count)
    begun: int = 0


class CardTester(FastHttpUser):
    """Tries one card after the other."""

    attack: ClassVar[Attack]
    connection_timeout = 2.0

    def on_start(self) -> None:
        """Wait a part of the pacing, so that the users' cards spread evenly over time."""
        settings = self.attack.settings
        self._user = next(self.attack.users)
        self._random = Random(f"{settings.seed}/{self._user}")  # noqa: S311 - made-up cards, not secrets
        self._pacing_seconds = settings.users / settings.cards_per_second
        self.attack.stopping.wait(self._random.uniform(0, self._pacing_seconds))
        self._due = time.perf_counter()
        self._tried = 0

    def wait_time(self) -> float:
        """Return the seconds to the next card, a full pacing after the last one was due."""
        now = time.perf_counter()
        self._due = max(self._due + self._pacing_seconds, now)
        return self._due - now

    @task
    def try_card(self) -> None:
        """Authorize a small amount with a card that nobody used before."""
        attack = self.attack
        if attack.stopping.is_set():
            return
        if attack.begun >= attack.settings.cards_max:
            attack.stopping.set()
            # In a greenlet of its own: this one is among those that are stopped, and would stop the stopping.
            gevent.spawn(self.environment.runner.quit)
            return
        attack.begun += 1
        self._tried += 1
        reference = f"try-{attack.nonce}-{self._user}-{self._tried}"
        amount_minor = self._random.randint(*_AMOUNTS_MINOR)
        card_token = f"tok_{attack.settings.card_range}_{self._random.getrandbits(64):016x}"
        answer = NO_ANSWER
        try:
            answer = self._send(reference, amount_minor, card_token)
            if answer.status_code == UNAUTHORIZED:
                answer = self._send(reference, amount_minor, card_token)
        except TokenUnavailable:
            # Attackers do not complain.
            pass
        finally:
            # Also when this user is stopped in mid-request: it asked, and does not know.
            self._write_down(reference, amount_minor, answer)

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

    def _write_down(self, reference: str, amount_minor: int, answer: Answer) -> None:
        if self.attack.journal is None:
            return
        self.attack.journal.append(
            {
                "at": round(time.time(), 6),
                "operation": Operation.AUTHORIZE,
                "idempotency_key": _key_of(reference),
                "merchant_reference": reference,
                "payment_id": answer.payment_id,
                "amount_minor": amount_minor,
                "currency": _CURRENCY,
                "status_code": answer.status_code,
                "outcome": answer.outcome,
                "replayed": answer.replayed,
            }
        )


def _key_of(reference: str) -> str:
    return f"{reference}-{Operation.AUTHORIZE}"


def prepare(environment: Environment, **_: object) -> None:
    """Read and check everything before the first request, or end with one sentence."""
    try:
        settings = read_card_testing_settings(os.environ)
        environment.host = require_loopback(environment.host)
        journal = None if settings.journal_file is None else Journal(settings.journal_file)
    except (SettingsInvalid, JournalUnwritable) as error:
        sys.exit(f"card testing: {error}")
    tokens = TokenSource(environment.host, settings.client_file, "payments:authorize")
    CardTester.attack = Attack(settings, tokens, journal, nonce=secrets.token_hex(4))
    CardTester.network_timeout = settings.answer_seconds
    # A request under way gets its answer, or its own time-out, before its user is stopped.
    environment.stop_timeout = max(environment.stop_timeout, settings.answer_seconds + 2)
    options = environment.parsed_options
    if options is not None:
        options.num_users = options.spawn_rate = settings.users
        options.run_time = min(options.run_time or _RUN_SECONDS_MAX, _RUN_SECONDS_MAX)
    _listen(environment.events.test_stopping, stop_waiting)
    _listen(environment.events.quitting, decide_exit_code)
    _listen(environment.events.quit, close_journal)


def stop_waiting(**_: object) -> None:
    """End every pause before a first card."""
    CardTester.attack.stopping.set()


def decide_exit_code(environment: Environment, **_: object) -> None:
    """Declined and blocked cards are findings, not failures of the attack; our own errors are."""
    if environment.runner is not None and not environment.runner.exceptions:
        environment.process_exit_code = 0


def close_journal(**_: object) -> None:
    """Force the journal to disk."""
    if CardTester.attack.journal is not None:
        CardTester.attack.journal.close()


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)  # type: ignore[no-untyped-call]  # locust does not annotate it


_listen(events.init, prepare)
