"""The settings of one acquirer, read once at its start."""

import argparse
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

from acquirers.book import LIFETIME_SECONDS
from acquirers.errors import FlagsInvalid, SecretMissing
from acquirers.money import EXPONENTS
from acquirers.settlement import Exchange, Fees

LOOPBACK: Final = "127.0.0.1"
_SECRET_BYTES_MAX: Final = 4096
_LATENCY_MS_MAX: Final = 10_000.0
_DAY_SECONDS: Final = 86_400
_BASIS_POINTS_MAX: Final = 10_000
_FIXED_FEE_MAX: Final = 1_000_000
_LIFETIME_SECONDS_MAX: Final = 31 * _DAY_SECONDS
_ATTEMPTS_MAX: Final = 100
_EPILOG: Final = """\
example:
  python -m acquirers --name north --dialect north --port 0 --book north.db --secrets-folder secrets

The secrets folder holds <name>_api_key and <name>_control_token, and webhook_<name>.json when the merchant
is to be told: {"keys": {"<key id>": "<64 hexadecimal digits>"}}; the last key signs.

When it listens, the acquirer prints one line: {"event":"listening","port":N}. The book survives a kill of
the process, not a power cut. Faults live in memory: a restarted acquirer is healthy.
"""


class DialectName(StrEnum):
    """The merchant API that the acquirer offers."""

    NORTH = "north"
    SOUTH = "south"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where webhooks are sent, and how often they are retried; pauses grow from `backoff_seconds`."""

    url: str
    attempts_max: int = 12
    timeout_seconds: float = 5.0
    backoff_seconds: float = 0.2
    backoff_cap_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one acquirer; `decline_rate` is the share that the issuer declines, from 0 to 1."""

    name: str
    dialect: DialectName
    port: int
    book: Path
    secrets_folder: Path
    decline_rate: float
    latency_seconds: float
    settlement_period_seconds: int
    fees: Fees
    host: str = LOOPBACK
    authorization_lifetime_seconds: int = LIFETIME_SECONDS
    webhook: WebhookSettings | None = None
    exchanges: Mapping[str, Exchange] = field(default_factory=dict)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FlagsInvalid(f"{message}; see python -m acquirers --help")


def read_settings(arguments: list[str]) -> Settings:
    """Parse the command line; raises FlagsInvalid, or SystemExit(0) for --help."""
    parser = _Parser(
        prog="python -m acquirers",
        description="Simulate one card acquirer, with a durable book and fault controls.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--name", required=True, help="lower-case; prefix of its secrets' files too")
    parser.add_argument("--dialect", required=True, choices=[name.value for name in DialectName])
    parser.add_argument("--port", required=True, type=int, help="0 takes any free port")
    parser.add_argument("--host", default=LOOPBACK, help="IPv4 address to listen on (default %(default)s)")
    parser.add_argument("--book", required=True, type=Path, help="SQLite file, created when absent")
    parser.add_argument("--secrets-folder", required=True, type=Path)
    parser.add_argument("--decline-rate", type=float, default=0.03, help="0 to 1 (default %(default)s)")
    parser.add_argument(
        "--latency-ms", type=float, default=5.0, help="before each answer (default %(default)s)"
    )
    parser.add_argument(
        "--authorization-lifetime-seconds",
        type=int,
        default=LIFETIME_SECONDS,
        help="how long one can be captured (default %(default)s)",
    )
    _add_settlement_flags(parser)
    _add_webhook_flags(parser)
    flags = parser.parse_args(arguments)
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", flags.name) is None:
        parser.error("--name: must be 1 to 32 of a-z, 0-9, _ and -, beginning with a letter")
    if not 0 <= flags.port <= 65535:
        parser.error("--port: must be from 0 to 65535")
    if not _is_address(flags.host):
        parser.error("--host: must be an IPv4 address, such as 127.0.0.1")
    if not 0 <= flags.decline_rate <= 1:
        parser.error("--decline-rate: must be from 0 to 1")
    if not 0 <= flags.latency_ms <= _LATENCY_MS_MAX:
        parser.error(f"--latency-ms: must be from 0 to {_LATENCY_MS_MAX:g}")
    if not 1 <= flags.settlement_period_seconds <= _DAY_SECONDS:
        parser.error(f"--settlement-period-seconds: must be from 1 to {_DAY_SECONDS}")
    if not 1 <= flags.authorization_lifetime_seconds <= _LIFETIME_SECONDS_MAX:
        parser.error(f"--authorization-lifetime-seconds: must be from 1 to {_LIFETIME_SECONDS_MAX}")
    if not 0 <= flags.fee_basis_points <= _BASIS_POINTS_MAX:
        parser.error(f"--fee-basis-points: must be from 0 to {_BASIS_POINTS_MAX}")
    return Settings(
        name=flags.name,
        dialect=DialectName(flags.dialect),
        port=flags.port,
        book=flags.book,
        secrets_folder=flags.secrets_folder,
        decline_rate=flags.decline_rate,
        latency_seconds=flags.latency_ms / 1000,
        settlement_period_seconds=flags.settlement_period_seconds,
        fees=Fees(flags.fee_basis_points, _read_fixed_fees(parser, flags.fee_fixed)),
        host=flags.host,
        authorization_lifetime_seconds=flags.authorization_lifetime_seconds,
        webhook=_read_webhook(parser, flags),
        exchanges=_read_exchanges(parser, flags.settle_in),
    )


def _add_settlement_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settlement-period-seconds", type=int, default=_DAY_SECONDS, help="a report (default %(default)s)"
    )
    parser.add_argument(
        "--fee-basis-points", type=int, default=140, help="of a captured amount (default %(default)s)"
    )
    parser.add_argument(
        "--fee-fixed",
        default="EUR=10,USD=11,JPY=16,KWD=35",
        help="minor units a capture, beside the basis points (default %(default)s)",
    )
    parser.add_argument(
        "--settle-in",
        help="currencies that are settled in another one, such as JPY=EUR@0.0061 for 0.0061 EUR a JPY;"
        " several with commas (default: each in itself)",
    )


def _add_webhook_flags(parser: argparse.ArgumentParser) -> None:
    usual = WebhookSettings("")
    parser.add_argument("--webhook-url", help="tell the merchant there what happened (default: do not)")
    parser.add_argument(
        "--webhook-attempts", type=int, default=usual.attempts_max, help="an event (default %(default)s)"
    )


def _read_webhook(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> WebhookSettings | None:
    if not 1 <= flags.webhook_attempts <= _ATTEMPTS_MAX:
        parser.error(f"--webhook-attempts: must be from 1 to {_ATTEMPTS_MAX}")
    if flags.webhook_url is None:
        return None
    try:
        parts = urlsplit(flags.webhook_url)
        plain = parts.username is None and not parts.fragment and parts.port != 0
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and plain
    except ValueError:
        valid = False
    if not valid:
        parser.error("--webhook-url: must be an http or https URL with a host and without a user")
    return WebhookSettings(url=flags.webhook_url, attempts_max=flags.webhook_attempts)


def _read_fixed_fees(parser: argparse.ArgumentParser, text: str) -> dict[str, int]:
    parts = [re.fullmatch(r"([A-Z]{3})=([0-9]{1,7})", part) for part in text.split(",")]
    fees = {part[1]: int(part[2]) for part in parts if part is not None}
    if len(fees) != len(parts) or fees.keys() != EXPONENTS.keys() or max(fees.values()) > _FIXED_FEE_MAX:
        parser.error(
            f"--fee-fixed: must name {', '.join(EXPONENTS)} once each, such as EUR=10,..., "
            f"each from 0 to {_FIXED_FEE_MAX}"
        )
    return fees


def _read_exchanges(parser: argparse.ArgumentParser, text: str | None) -> dict[str, Exchange]:
    codes = "|".join(EXPONENTS)
    form = re.compile(rf"({codes})=(?!\1)({codes})@([0-9]{{1,9}}(?:\.[0-9]{{1,12}})?)")
    parts = [form.fullmatch(part) for part in text.split(",")] if text is not None else []
    found = {part[1]: Exchange(part[2], Fraction(part[3])) for part in parts if part is not None}
    if len(found) != len(parts) or not all(exchange.rate for exchange in found.values()):
        parser.error(
            f"--settle-in: must be such as JPY=EUR@0.0061, each currency once and into another one of"
            f" {', '.join(EXPONENTS)}, at a decimal rate above 0"
        )
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def read_secret(folder: Path, name: str) -> bytes:
    """Return the content of a secret file without surrounding white space; raises SecretMissing."""
    file = folder / name
    try:
        with file.open("rb") as stream:
            value = stream.read(_SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretMissing(
            f"secret file {file} cannot be read ({error.strerror}): write it or give another folder"
        ) from error
    secret = value.strip()
    if not secret or len(value) > _SECRET_BYTES_MAX:
        raise SecretMissing(f"secret file {file} must hold 1 to {_SECRET_BYTES_MAX} bytes: write it anew")
    return secret
