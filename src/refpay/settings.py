"""Settings: read once from the environment and the secrets folder into frozen values."""

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from refpay.errors import StartRefused

LOOPBACK: Final = "127.0.0.1"
PROVIDER_NAMES: Final = ("north", "south")
RETRY_BACKOFF_CAP_SECONDS: Final = 0.5
# Between the last moment an API process may still be calling and the moment the worker may call a
# missing operation failed; covers a scheduler pause and a request still on the wire.
DEADLINE_SLACK_SECONDS: Final = 1.0
_ALLOW_UNSAFE: Final = "REFPAY_ALLOW_UNSAFE_DURABILITY"
_NATS_MONITORING_PORT: Final = 8222
_SECRET_MAXIMUM_BYTES: Final = 64 * 1024


def _whole(name: str, default: int, least: int, most: int) -> Any:
    """Declare a field: a whole number of this variable, within bounds."""
    return _declare(default, lambda read: read.integer(name, default, least, most))


def _seconds(name: str, default: float, least: float, most: float) -> Any:
    """Declare a field: seconds of this variable, within bounds."""
    return _declare(default, lambda read: read.seconds(name, default, least, most))


def _declare(default: object, read: "Callable[[_Reader], object]") -> Any:
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where PostgreSQL is and as whom to speak to it; the URL holds no password."""

    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One acquirer's address, our credential there, and how long it may take by its own promise."""

    name: str
    url: str
    api_key: str = field(repr=False)
    timeout_seconds: float = 2.0
    attempts: int = 3
    # After so long, what it does not know it will never do.
    settle_seconds: float = 15.0

    @property
    def call_budget_seconds(self) -> float:
        """Return the longest that one call may take, all attempts and pauses included."""
        return call_budget_seconds(self.timeout_seconds, self.attempts)


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """When small authorizations of one card range look like somebody trying out cards.

    Amounts are minor units of whatever currency. `fail_open_max_minor` is the largest authorization that
    goes on without an assessment when risk does not answer in time; larger ones are refused for the moment.
    """

    window_seconds: int = _whole("REFPAY_RISK_WINDOW_SECONDS", 60, 1, 3600)
    # The bounds are those of the index and of the newest rows that are looked at.
    small_amount_minor: int = _whole("REFPAY_RISK_SMALL_AMOUNT_MINOR", 500, 1, 1000)
    answered_least: int = _whole("REFPAY_RISK_ANSWERED_LEAST", 20, 2, 200)
    declined_percent: int = _whole("REFPAY_RISK_DECLINED_PERCENT", 50, 1, 100)
    autoblock: bool = False
    fail_open_max_minor: int = _whole("REFPAY_RISK_FAIL_OPEN_MAX_MINOR", 5000, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class RateSettings:
    """How many requests a second one API process takes; a second's worth may come at once.

    `strangers_per_second` is for all whose credentials are refused together.
    """

    principal_per_second: int = _whole("REFPAY_RATE_PRINCIPAL_PER_SECOND", 1_000, 1, 1_000_000)
    whole_per_second: int = _whole("REFPAY_RATE_WHOLE_PER_SECOND", 4_000, 1, 1_000_000)
    strangers_per_second: int = _whole("REFPAY_RATE_STRANGERS_PER_SECOND", 100, 1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings:
    """Where NATS is, as whom to speak to it, and how patient to be with a message."""

    url: str
    monitoring_url: str
    user: str
    password: str = field(repr=False)
    allow_unsafe: bool
    ack_wait_seconds: float = _seconds("REFPAY_ACK_WAIT_SECONDS", 10, 0.5, 300)
    in_flight_maximum: int = _whole("REFPAY_DELIVERIES_IN_FLIGHT", 256, 1, 4096)
    attempts_maximum: int = _whole("REFPAY_DELIVERY_ATTEMPTS", 6, 1, 100)
    redelivery_seconds: float = _seconds("REFPAY_REDELIVERY_SECONDS", 0.5, 0.01, 60)
    relay_interval_seconds: float = _seconds("REFPAY_RELAY_INTERVAL_SECONDS", 0.1, 0.01, 10)
    outbox_retention_seconds: float = _seconds("REFPAY_OUTBOX_RETENTION_SECONDS", 86400, 0.01, 2592000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the API and the worker can be told."""

    listen_host: str
    listen_port: int = _whole("REFPAY_LISTEN_PORT", 8080, 0, 65535)
    worker_port: int = _whole("REFPAY_WORKER_PORT", 8081, 0, 65535)
    database: DatabaseSettings
    providers: tuple[ProviderSettings, ...]
    secrets_folder: Path
    catalogue_file: Path
    costs_file: Path
    acknowledgements_folder: Path
    settle_interval_seconds: float = _seconds("REFPAY_SETTLE_INTERVAL_SECONDS", 0.5, 0.01, 60)
    check_interval_seconds: float = _seconds("REFPAY_CHECK_INTERVAL_SECONDS", 1, 0.01, 60)
    authorization_lifetime_seconds: float = _seconds(
        "REFPAY_AUTHORIZATION_LIFETIME_SECONDS", 7 * 86400, 1, 90 * 86400
    )
    key_retention_seconds: float = _seconds("REFPAY_KEY_RETENTION_SECONDS", 30 * 86400, 1, 3650 * 86400)
    # Payouts over it need a second person's approval; in minor units of whatever currency.
    payout_alone_max_minor: int = _whole("REFPAY_PAYOUT_ALONE_MAX_MINOR", 1_000_000, 0, 2**63 - 1)
    risk: RiskSettings
    rates: RateSettings
    # Absent where it is not needed: the API writes the outbox and never speaks to NATS.
    messaging: MessagingSettings | None
    reconcile_interval_seconds: float = _seconds("REFPAY_RECONCILE_INTERVAL_SECONDS", 5, 0.01, 60)
    report_timeout_seconds: float = _seconds("REFPAY_REPORT_TIMEOUT_SECONDS", 10, 0.01, 60)
    # Where an OpenTelemetry collector takes spans over HTTP; absent: no tracing.
    otlp_url: str | None
    # Start, and page, although PostgreSQL or JetStream may lose what it acknowledges.
    allow_unsafe_durability: bool

    @property
    def provider_timeout_seconds(self) -> float:
        """Return the longest that one attempt may take at any provider."""
        return max(provider.timeout_seconds for provider in self.providers)

    @property
    def settle_deadline_seconds(self) -> float:
        """Return how long the most patient provider has to be waited for."""
        return max(provider.settle_seconds for provider in self.providers)

    @property
    def call_budget_seconds(self) -> float:
        """Return the longest that a call may take at any provider."""
        return max(provider.call_budget_seconds for provider in self.providers)

    @property
    def resolve_slack_seconds(self) -> float:
        """Return how long after its settle deadline an operation may be open while all is well.

        Only then is it asked about: two rounds of asking, and the time that an answer may take.
        """
        return 2 * self.settle_interval_seconds + self.provider_timeout_seconds


def call_budget_seconds(timeout_seconds: float, attempts: int) -> float:
    """Return the longest that `attempts` attempts and the pauses between them may take."""
    return timeout_seconds * attempts + RETRY_BACKOFF_CAP_SECONDS * (attempts - 1)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check every setting.

    Raises StartRefused with one sentence that names the variable or file and what is allowed.
    """
    read = _Reader(environment)
    folder = read.folder("REFPAY_SECRETS_FOLDER")
    settings = Settings(
        listen_host=read.address("REFPAY_LISTEN_HOST", LOOPBACK),
        database=read_database(environment, user=None, secret="refpay_app_password"),  # noqa: S106 a file's name
        providers=tuple(_read_provider(read, folder, name) for name in PROVIDER_NAMES),
        secrets_folder=folder,
        catalogue_file=_own_file(environment, "REFPAY_CATALOGUE_FILE", "catalogue.json"),
        costs_file=_own_file(environment, "REFPAY_COSTS_FILE", "costs.json"),
        acknowledgements_folder=read.folder("REFPAY_ACKNOWLEDGEMENTS_FOLDER"),
        risk=RiskSettings(
            autoblock=read.flag("REFPAY_RISK_AUTOBLOCK", default=False), **read.declared(RiskSettings)
        ),
        rates=RateSettings(**read.declared(RateSettings)),
        messaging=_read_messaging(read, environment, folder),
        otlp_url=read.optional_url("REFPAY_OTLP_URL", ("http", "https")),
        allow_unsafe_durability=read.integer(_ALLOW_UNSAFE, 0, 0, 1) == 1,
        **read.declared(Settings),
    )
    for provider in settings.providers:
        budget = provider.call_budget_seconds + DEADLINE_SLACK_SECONDS
        if budget >= provider.settle_seconds:
            raise StartRefused(
                f"REFPAY_SETTLE_DEADLINE_SECONDS is {provider.settle_seconds:g}, but a call to "
                f"{provider.name} may take {budget:g} s (timeout x attempts, pauses, slack), so an operation "
                "could be judged while it is still being sent; raise the deadline or lower the timeout or "
                "the attempts"
            )
    return settings


def _read_provider(read: "_Reader", folder: Path, name: str) -> ProviderSettings:
    """Read one provider; its own promise goes before what all have in common."""
    prefix = f"REFPAY_{name.upper()}"
    seconds = read.seconds("REFPAY_PROVIDER_TIMEOUT_SECONDS", 2, 0.01, 30)
    attempts = read.integer("REFPAY_PROVIDER_ATTEMPTS", 3, 1, 10)
    settle = read.seconds("REFPAY_SETTLE_DEADLINE_SECONDS", 15, 0.1, 3600)
    return ProviderSettings(
        name=name,
        url=read.url(f"{prefix}_URL", ("http", "https")),
        api_key=read_secret(folder, f"{name}_api_key"),
        timeout_seconds=read.seconds(f"{prefix}_TIMEOUT_SECONDS", seconds, 0.01, 30),
        attempts=read.integer(f"{prefix}_ATTEMPTS", attempts, 1, 10),
        settle_seconds=read.seconds(f"{prefix}_SETTLE_DEADLINE_SECONDS", settle, 0.1, 3600),
    )


def _read_messaging(
    read: "_Reader", environment: Mapping[str, str], folder: Path
) -> MessagingSettings | None:
    if not environment.get("REFPAY_NATS_URL", "").strip():
        return None
    url = read.url("REFPAY_NATS_URL", ("nats",))
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise StartRefused(
            "REFPAY_NATS_URL holds a user or a password: leave them out, the user is refpay and the password "
            "is read from the secrets folder"
        )
    return MessagingSettings(
        url=url,
        monitoring_url=read.optional_url("REFPAY_NATS_MONITORING_URL", ("http", "https"))
        or f"http://{parts.hostname}:{_NATS_MONITORING_PORT}",
        user="refpay",
        password=read_secret(folder, "nats_password"),
        allow_unsafe=read.integer(_ALLOW_UNSAFE, 0, 0, 1) == 1,
        **read.declared(MessagingSettings),
    )


def read_database(environment: Mapping[str, str], *, user: str | None, secret: str) -> DatabaseSettings:
    """Read the database's URL; `user` replaces the one it names, `secret` is the password's file."""
    read = _Reader(environment)
    url = read.url("REFPAY_DATABASE_URL", ("postgresql", "postgres"))
    parts = urlsplit(url)
    if parts.password is not None:
        raise StartRefused(
            "REFPAY_DATABASE_URL holds a password: leave it out, it is read from the secrets folder"
        )
    name = user or parts.username
    if not name or not parts.hostname or len(parts.path) < 2:
        raise StartRefused(
            "REFPAY_DATABASE_URL is incomplete: it needs user, host and database, as in "
            "postgresql://refpay_app@127.0.0.1:5432/refpay"
        )
    host = parts.netloc.rpartition("@")[2]
    password = read_secret(read.folder("REFPAY_SECRETS_FOLDER"), secret)
    return DatabaseSettings(url=f"postgresql://{name}@{host}{parts.path}", user=name, password=password)


def read_secret(folder: Path, name: str) -> str:
    """Return a secret's text without surrounding blanks; never part of any error."""
    file = folder / name
    text = read_bounded(file, "secret file", _SECRET_MAXIMUM_BYTES).strip()
    if not text:
        raise StartRefused(f"secret file is empty: {file}")
    return text


def _own_file(environment: Mapping[str, str], name: str, default: str) -> Path:
    return Path(environment.get(name) or Path(__file__).with_name(default))


def read_bounded(file: Path, what: str, most_bytes: int) -> str:
    """Return a file's text; raises StartRefused, which says what file it is and never what it holds."""
    try:
        with file.open("rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as problem:
        raise StartRefused(f"{what} cannot be read: {file} ({problem.strerror})") from problem
    if len(content) > most_bytes:
        raise StartRefused(f"{what} is too large: {file}, allowed: {most_bytes} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        raise StartRefused(f"{what} is not UTF-8: {file}") from problem


@dataclass(frozen=True, slots=True)
class _Reader:
    environment: Mapping[str, str]

    def declared(self, kind: type[Any]) -> dict[str, Any]:
        """Return the fields of a class that declare where they are read from."""
        return {one.name: one.metadata["read"](self) for one in fields(kind) if "read" in one.metadata}

    def text(self, name: str) -> str:
        value = self.environment.get(name, "").strip()
        if not value:
            raise StartRefused(f"{name} is not set")
        return value

    def folder(self, name: str) -> Path:
        folder = Path(self.text(name))
        if not folder.is_dir():
            raise StartRefused(f"{name} is not a folder: {folder}")
        return folder

    def url(self, name: str, schemes: tuple[str, ...]) -> str:
        value = self.text(name)
        try:
            parts = urlsplit(value)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise StartRefused(f"{name} is not a URL of scheme {' or '.join(schemes)} with a host")
        return value.rstrip("/")

    def optional_url(self, name: str, schemes: tuple[str, ...]) -> str | None:
        return self.url(name, schemes) if self.environment.get(name, "").strip() else None

    def address(self, name: str, default: str) -> str:
        value = self.environment.get(name, "").strip() or default
        try:
            return str(ipaddress.IPv4Address(value))
        except ValueError:
            raise StartRefused(
                f"{name} is {value[:40]!r}, allowed: an IPv4 address; 0.0.0.0 only inside a container"
            ) from None

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.environment.get(name, "").strip() or str(default)
        if not value.isascii() or not value.isdigit() or not least <= int(value[:20]) <= most:
            raise StartRefused(f"{name} is {value[:40]!r}, allowed: a whole number from {least} to {most}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.environment.get(name, "").strip() or str(default).lower()
        if value not in ("true", "false"):
            raise StartRefused(f"{name} is {value[:40]!r}, allowed: true, false")
        return value == "true"

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        value = self.environment.get(name, "").strip() or str(default)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise StartRefused(f"{name} is {value[:40]!r}, allowed: seconds from {least:g} to {most:g}")
        return number
