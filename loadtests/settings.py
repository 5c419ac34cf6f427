"""The settings of a load test: environment variables, read once and checked before the first request."""

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from loadtests.schedule import Interval

from moneypath.stack.tokens import TokenUnavailable, read_client

Value = TypeVar("Value")

CARD_RANGE_WEIGHTS = "411111=6,550000=4"
ALWAYS = "always"


class SettingsInvalid(ValueError):
    """A setting is missing or invalid; the message names it and the allowed values."""


OLD_NAMES: Final = {"MONEYPATH_JOURNAL_FILE": "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run. Times are in seconds, ratios from 0 to 1.

    A request without a definitive answer is repeated every `retry_interval_seconds` for at most
    `retry_budget_seconds`. `answer_seconds` limits the time of one answer.
    """

    acknowledgement_log_file: Path
    client_file: Path
    seed: str
    card_range_weights: Mapping[str, int]
    checkouts_per_second: float
    users: int
    checkouts_max: int
    resend_ratio: float
    refund_ratio: float
    retry_interval_seconds: float
    retry_budget_seconds: float
    answer_seconds: float
    # With a log of requests, the schedule is open: a slow answer does not put off the next checkout.
    request_log_file: Path | None
    turns: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class CardTestingSettings:
    """The settings of one attack on one card range. The acknowledgement log is optional."""

    acknowledgement_log_file: Path | None
    client_file: Path
    seed: str
    card_range: str
    cards_per_second: float
    users: int
    cards_max: int
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class _Reader:
    environment: Mapping[str, str]
    scenario: str

    def get(self, name: str, parse: Callable[[str], Value], default: str | None = None) -> Value:
        text = self.environment.get(name, default)
        if not text:
            raise SettingsInvalid(f"{name} is missing: set it, see the head of loadtests/{self.scenario}")
        try:
            return parse(text)
        except ValueError as error:
            raise SettingsInvalid(f"{name}: {error}") from None


def _refuse_old_names(environment: Mapping[str, str]) -> None:
    for old, new in OLD_NAMES.items():
        if old in environment:
            raise SettingsInvalid(f"{old} is called {new} now")


def read_card_testing_settings(environment: Mapping[str, str]) -> CardTestingSettings:
    """Read all settings of an attack; raises SettingsInvalid."""
    _refuse_old_names(environment)
    get = _Reader(environment, "card_testing.py").get
    acknowledgement_log = environment.get("MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE")
    return CardTestingSettings(
        acknowledgement_log_file=Path(acknowledgement_log) if acknowledgement_log else None,
        client_file=get("MONEYPATH_CHECKOUT_CLIENT_FILE", _find_client),
        seed=get("MONEYPATH_SEED", str, "1"),
        card_range=get("MONEYPATH_CARD_RANGE", _parse_range),
        cards_per_second=get("MONEYPATH_CARDS_PER_SECOND", _number(0.1, 100), "10"),
        users=get("MONEYPATH_USERS", _count(50), "5"),
        cards_max=get("MONEYPATH_CARDS_MAX", _count(10_000), "1000"),
        answer_seconds=get("MONEYPATH_ANSWER_SECONDS", _number(0.1, 60), "10"),
    )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read all settings; raises SettingsInvalid."""
    _refuse_old_names(environment)
    get = _Reader(environment, "checkout.py").get
    request_log = environment.get("MONEYPATH_REQUEST_LOG_FILE")
    if "MONEYPATH_TURNS" in environment and not request_log:
        raise SettingsInvalid("MONEYPATH_TURNS: needs MONEYPATH_REQUEST_LOG_FILE")
    return Settings(
        acknowledgement_log_file=get("MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE", Path),
        client_file=get("MONEYPATH_CHECKOUT_CLIENT_FILE", _find_client),
        seed=get("MONEYPATH_SEED", str, "1"),
        card_range_weights=get("MONEYPATH_CARD_RANGE_WEIGHTS", _parse_weights, CARD_RANGE_WEIGHTS),
        checkouts_per_second=get("MONEYPATH_CHECKOUTS_PER_SECOND", _number(0.01, 200), "5"),
        users=get("MONEYPATH_USERS", _count(200), "10"),
        checkouts_max=get("MONEYPATH_CHECKOUTS_MAX", _count(1_000_000), "100000"),
        resend_ratio=get("MONEYPATH_RESEND_RATIO", _number(0, 1), "0.05"),
        refund_ratio=get("MONEYPATH_REFUND_RATIO", _number(0, 1), "0.05"),
        retry_interval_seconds=get("MONEYPATH_RETRY_INTERVAL_SECONDS", _number(0.01, 10), "0.5"),
        retry_budget_seconds=get("MONEYPATH_RETRY_BUDGET_SECONDS", _number(0, 120), "20"),
        answer_seconds=get("MONEYPATH_ANSWER_SECONDS", _number(0.1, 60), "10"),
        request_log_file=Path(request_log) if request_log else None,
        turns=get("MONEYPATH_TURNS", _parse_turns, ALWAYS),
    )


def require_loopback(host: str | None) -> str:
    """Return the host's URL if it is on this machine; otherwise raise SettingsInvalid."""
    parts = urlsplit(host or "")
    name = parts.hostname or ""
    if parts.scheme != "http" or not (name == "localhost" or _is_loopback_address(name)):
        shown = f"{parts.scheme}://{name}" if name else "nothing"
        raise SettingsInvalid(
            f"--host: {shown} is refused: this load test moves money in test systems on this machine only; "
            "allowed: http://127.0.0.1:<port>, http://localhost:<port>, http://[::1]:<port>"
        )
    return host or ""


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _find_client(name: str) -> Path:
    try:
        read_client(Path(name))
    except TokenUnavailable as error:
        raise ValueError(error.what) from None
    return Path(name)


def _parse_weights(text: str) -> Mapping[str, int]:
    weights: dict[str, int] = {}
    for part in text.split(","):
        card_range, _, weight = part.strip().partition("=")
        if not _is_range(card_range) or not weight.isascii() or not weight.isdigit() or len(weight) > 6:
            raise ValueError(
                "must be six-digit card ranges that begin with 4 or 5, each with a weight: 411111=6,550000=4"
            )
        weights[card_range] = int(weight)
    if not any(weights.values()):
        raise ValueError("at least one weight must be over 0")
    return weights


def _parse_turns(text: str) -> tuple[Interval, ...]:
    if text == ALWAYS:
        return ()
    turns: list[Interval] = []
    for part in text.split(","):
        begin, _, end = part.partition("-")
        try:
            turn = (float(begin), float(end))
        except ValueError:
            turn = (math.nan, math.nan)
        if not (turns[-1][1] if turns else 0) <= turn[0] < turn[1] < math.inf:
            raise ValueError("must be turns in Unix seconds, one after the other: 1700000000-1700000010.5")
        turns.append(turn)
    return tuple(turns)


def _parse_range(text: str) -> str:
    if not _is_range(text):
        raise ValueError("must be a six-digit card range that begins with 4 or 5: 455555")
    return text


def _is_range(text: str) -> bool:
    return len(text) == 6 and text.isascii() and text.isdigit() and text[0] in "45"


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not lowest <= value <= highest:
            raise ValueError(f"must be a number from {lowest:g} to {highest:g}")
        return value

    return parse


def _count(highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= highest):
            raise ValueError(f"must be an integer from 1 to {highest}")
        return int(text)

    return parse
