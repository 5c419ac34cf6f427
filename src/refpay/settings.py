"""Read settings from the environment and the secrets folder, once, into frozen values."""
# ruff: noqa: RUF009 - a field declares how it is read

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from moneypath.telemetry.catalogue.vocabulary import Disk
from moneypath.telemetry.redaction import IdForms
from refpay.errors import StartRefused
from refpay.money import MAXIMUM_MINOR, Currency, read_major

LOOPBACK: Final = "127.0.0.1"
PROVIDER_NAMES: Final = ("north", "south")
RETRY_BACKOFF_CAP_SECONDS: Final = 0.5
# Between the last moment at which an API process may call a provider and the moment at which the worker may
# fail an operation that the provider does not know. Covers a scheduler pause and a request still on the wire.
DEADLINE_SLACK_SECONDS: Final = 1.0
_NATS_MONITORING_PORT: Final = 8222
_SECRET_MAXIMUM_BYTES: Final = 64 * 1024
_APP_PASSWORD: Final = "refpay_app_password"  # noqa: S105 a file's name
_HTTP: Final = ("http", "https")
# How the names of variables ended before, and how they end now.
_RENAMED: Final = {
    "_SETTLE_DEADLINE_SECONDS": "_OUTCOME_DEADLINE_SECONDS",
    "_SETTLE_INTERVAL_SECONDS": "_RECOVERY_INTERVAL_SECONDS",
    "_PAYOUT_ALONE_MAX_MINOR": "_PAYOUT_ALONE_MAX",
}
_PAYOUT_ALONE_ALLOWED: Final = (
    f"each of {', '.join(Currency)} once, with an amount in major units and at most the decimals that the"
    " currency has, as in EUR=10000.50 JPY=1500000"
)
_PAYOUT_ALONE: Final = "EUR=10000 USD=10000 JPY=1500000 KWD=3000"

_NETWORKS_MAXIMUM: Final = 64
_PREFIX_LEAST: Final = {4: 8, 6: 16}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads variables. Raises StartRefused with one sentence that names the variable and what is allowed."""

    environment: Mapping[str, str]

    def all_of(self, kind: type[T]) -> T:
        """Return settings whose fields declare how they are read."""
        return kind(**{one.name: one.metadata["read"](self) for one in fields(kind)})  # type: ignore[arg-type]

    def get(self, name: str, default: object = "") -> str:
        return self.environment.get(name, "").strip() or str(default)

    def text(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise StartRefused(f"{name} is not set.")
        return value

    def folder(self, name: str) -> Path:
        folder = Path(self.text(name))
        if not folder.is_dir():
            raise StartRefused(f"{name} is not a folder: {folder}.")
        return folder

    def written_folders(self) -> Mapping[Disk, Path]:
        """Return the folders whose disks are measured; those that nobody names are left out."""
        names = {
            Disk.DATABASE: "REFPAY_DATABASE_FOLDER",
            Disk.MESSAGES: "REFPAY_MESSAGES_FOLDER",
            Disk.RECEIPTS: "REFPAY_ACKNOWLEDGEMENTS_FOLDER",
        }
        return {disk: self.folder(name) for disk, name in names.items() if self.get(name)}

    def secret(self, name: str) -> str:
        return read_secret(self.folder("REFPAY_SECRETS_FOLDER"), name)

    def url(self, name: str, schemes: tuple[str, ...]) -> str:
        value = self.text(name)
        try:
            parts = urlsplit(value)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise StartRefused(f"{name} is not a URL of scheme {' or '.join(schemes)} with a host.")
        return value.rstrip("/")

    def optional_url(self, name: str) -> str | None:
        return self.url(name, _HTTP) if self.get(name) else None

    def address(self, name: str, default: str) -> str:
        value = self.get(name, default)
        try:
            return str(ipaddress.IPv4Address(value))
        except ValueError:
            raise _wrong(name, value, "an IPv4 address; 0.0.0.0 only inside a container") from None

    def networks(self, name: str) -> tuple[Network, ...]:
        parts = [part.strip() for part in self.get(name).split(",")] if self.get(name) else []
        if len(parts) > _NETWORKS_MAXIMUM:
            raise _wrong(name, f"{len(parts)} networks", f"at most {_NETWORKS_MAXIMUM}")
        return tuple(_network(name, part) for part in parts)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.get(name, default)
        if not value.isascii() or not value.isdigit() or not least <= int(value[:20]) <= most:
            raise _wrong(name, value, f"a whole number from {least} to {most}")
        return int(value)

    def id_forms(self, name: str) -> IdForms:
        value = self.get(name, "")
        try:
            return IdForms(value)
        except ValueError as problem:
            raise _wrong(name, value, str(problem)) from None

    def flag(self, name: str, yes: str, no: str) -> bool:
        value = self.get(name, no)
        if value not in (yes, no):
            raise _wrong(name, value, f"{yes}, {no}")
        return value == yes

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        value = self.get(name, default)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise _wrong(name, value, f"seconds from {least:g} to {most:g}")
        return number


def _network(name: str, value: str) -> Network:
    """Return a network. One that is too wide to tell a provider from anybody else is refused."""
    try:
        network = ipaddress.ip_network(value)
        valid = network.prefixlen >= _PREFIX_LEAST[network.version]
    except ValueError:
        valid = False
    if not valid:
        allowed = (
            "networks such as 192.0.2.0/24 or 2001:db8::/48, separated by commas, without host bits, "
            f"of at least /{_PREFIX_LEAST[4]} (IPv4) or /{_PREFIX_LEAST[6]} (IPv6)"
        )
        raise _wrong(name, value, allowed)
    return network


def _wrong(name: str, value: str, allowed: str) -> StartRefused:
    return StartRefused(f"{name} is {value[:40]!r}, allowed: {allowed}.")


def _read(read: Callable[[_Reader], object], **default: object) -> Any:
    """Declare how a field is read."""
    return field(**default, metadata={"read": read})  # type: ignore[call-overload]


def _whole(name: str, default: int, least: int, most: int) -> Any:
    """Declare a field that is a whole number within bounds."""
    return _read(lambda read: read.integer(name, default, least, most), default=default)


def _seconds(name: str, default: float, least: float, most: float) -> Any:
    """Declare a field that is a number of seconds within bounds."""
    return _read(lambda read: read.seconds(name, default, least, most), default=default)


def _file(name: str, own: str) -> Any:
    """Declare a field that is a file, by default one that comes with the service."""
    return _read(lambda read: Path(read.get(name, Path(__file__).with_name(own))))


def _allow_unsafe() -> Any:
    return _read(lambda read: read.flag("REFPAY_ALLOW_UNSAFE_DURABILITY", "1", "0"))


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The address of PostgreSQL and the credentials for it. The URL contains no password."""

    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The address of a provider, our credential there, and its time limits."""

    name: str
    url: str
    api_key: str = field(repr=False)
    timeout_seconds: float = 2.0
    attempts: int = 3
    # After this, an operation that the provider does not know will never happen.
    outcome_deadline_seconds: float = 15.0
    # Where its webhooks come from, if it says so. They are accepted from elsewhere too, if they are signed.
    webhook_networks: tuple[Network, ...] = ()

    @property
    def call_budget_seconds(self) -> float:
        """Return the longest time that one call may take, with all attempts and the pauses between them."""
        return self.timeout_seconds * self.attempts + RETRY_BACKOFF_CAP_SECONDS * (self.attempts - 1)


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """When small authorizations of one card range look like card testing.

    Amounts are in minor units of any currency. `fail_open_max_minor` is the largest authorization that goes
    on without an assessment if risk does not answer in time; larger ones are refused, and may be tried
    again.
    """

    window_seconds: int = _whole("REFPAY_RISK_WINDOW_SECONDS", 60, 1, 3600)
    # The limits are those of the index, and of the number of rows that are read.
    small_amount_minor: int = _whole("REFPAY_RISK_SMALL_AMOUNT_MINOR", 500, 1, 1000)
    answered_least: int = _whole("REFPAY_RISK_ANSWERED_LEAST", 20, 2, 200)
    declined_percent: int = _whole("REFPAY_RISK_DECLINED_PERCENT", 50, 1, 100)
    autoblock: bool = _read(lambda read: read.flag("REFPAY_RISK_AUTOBLOCK", "true", "false"), default=False)
    fail_open_max_minor: int = _whole("REFPAY_RISK_FAIL_OPEN_MAX_MINOR", 5000, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class RateSettings:
    """How many requests per second one API process accepts. A burst may hold one second's worth.

    `strangers_per_second` is the limit for all requests together whose credentials are refused.
    `refused_per_second` is the limit for each provider of the refused webhooks that name its key: as many are
    held against it, so whoever knows the key's id cannot outweigh a provider that sends more.
    """

    principal_per_second: int = _whole("REFPAY_RATE_PRINCIPAL_PER_SECOND", 1_000, 1, 1_000_000)
    whole_per_second: int = _whole("REFPAY_RATE_WHOLE_PER_SECOND", 4_000, 1, 1_000_000)
    strangers_per_second: int = _whole("REFPAY_RATE_STRANGERS_PER_SECOND", 100, 1, 1_000_000)
    refused_per_second: int = _whole("REFPAY_RATE_REFUSED_PER_SECOND", 10, 1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings:
    """The address of NATS, the credentials for it, and the limits for delivering a message."""

    url: str = _read(lambda read: _read_nats(read))
    monitoring_url: str = _read(lambda read: _read_monitoring(read))
    user: str = _read(lambda _: "refpay")
    password: str = _read(lambda read: read.secret("nats_password"), repr=False)
    allow_unsafe: bool = _allow_unsafe()
    ack_wait_seconds: float = _seconds("REFPAY_ACK_WAIT_SECONDS", 10, 0.5, 300)
    in_flight_maximum: int = _whole("REFPAY_DELIVERIES_IN_FLIGHT", 256, 1, 4096)
    attempts_maximum: int = _whole("REFPAY_DELIVERY_ATTEMPTS", 6, 1, 100)
    redelivery_seconds: float = _seconds("REFPAY_REDELIVERY_SECONDS", 0.5, 0.01, 60)
    relay_interval_seconds: float = _seconds("REFPAY_RELAY_INTERVAL_SECONDS", 0.1, 0.01, 10)
    outbox_retention_seconds: float = _seconds("REFPAY_OUTBOX_RETENTION_SECONDS", 86400, 0.01, 2592000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the API and the worker."""

    listen_host: str = _read(lambda read: read.address("REFPAY_LISTEN_HOST", LOOPBACK))
    listen_port: int = _whole("REFPAY_LISTEN_PORT", 8080, 0, 65535)
    worker_port: int = _whole("REFPAY_WORKER_PORT", 8081, 0, 65535)
    database: DatabaseSettings = _read(
        lambda read: read_database(read.environment, user=None, secret=_APP_PASSWORD)
    )
    providers: tuple[ProviderSettings, ...] = _read(
        lambda read: tuple(_read_provider(read, name) for name in PROVIDER_NAMES)
    )
    secrets_folder: Path = _read(lambda read: read.folder("REFPAY_SECRETS_FOLDER"))
    catalogue_file: Path = _file("REFPAY_CATALOGUE_FILE", "catalogue.json")
    costs_file: Path = _file("REFPAY_COSTS_FILE", "costs.json")
    acknowledgements_folder: Path = _read(lambda read: read.folder("REFPAY_ACKNOWLEDGEMENTS_FOLDER"))
    # What is written on the machine of the worker, by itself and by the servers.
    written_folders: Mapping[Disk, Path] = _read(lambda read: read.written_folders(), default_factory=dict)
    recovery_interval_seconds: float = _seconds("REFPAY_RECOVERY_INTERVAL_SECONDS", 0.5, 0.01, 60)
    check_interval_seconds: float = _seconds("REFPAY_CHECK_INTERVAL_SECONDS", 1, 0.01, 60)
    authorization_lifetime_seconds: float = _seconds(
        "REFPAY_AUTHORIZATION_LIFETIME_SECONDS", 7 * 86400, 1, 90 * 86400
    )
    key_retention_seconds: float = _seconds("REFPAY_KEY_RETENTION_SECONDS", 30 * 86400, 1, 3650 * 86400)
    # What may be paid out to one merchant in 24 hours without a second person, in minor units.
    payout_alone_max_minor: Mapping[Currency, int] = _read(
        lambda read: read_payout_limits(read.get("REFPAY_PAYOUT_ALONE_MAX", _PAYOUT_ALONE))
    )
    risk: RiskSettings = _read(lambda read: read.all_of(RiskSettings))
    id_forms: IdForms = _read(lambda read: read.id_forms("REFPAY_ID_FORMS"), default=IdForms())
    rates: RateSettings = _read(lambda read: read.all_of(RateSettings))
    # None for the API, which writes the outbox and has no connection to NATS.
    messaging: MessagingSettings | None = _read(
        lambda read: read.all_of(MessagingSettings) if read.get("REFPAY_NATS_URL") else None
    )
    reconcile_interval_seconds: float = _seconds("REFPAY_RECONCILE_INTERVAL_SECONDS", 5, 0.01, 60)
    report_timeout_seconds: float = _seconds("REFPAY_REPORT_TIMEOUT_SECONDS", 10, 0.01, 60)
    # The OTLP endpoint for spans over HTTP; None turns tracing off.
    otlp_url: str | None = _read(lambda read: read.optional_url("REFPAY_OTLP_URL"))
    # Start although PostgreSQL or JetStream may lose acknowledged data; the alert still pages.
    allow_unsafe_durability: bool = _allow_unsafe()

    @property
    def provider_timeout_seconds(self) -> float:
        """Return the longest time that one attempt may take at any provider."""
        return max(provider.timeout_seconds for provider in self.providers)

    @property
    def outcome_deadline_seconds(self) -> float:
        """Return the longest outcome deadline of any provider."""
        return max(provider.outcome_deadline_seconds for provider in self.providers)

    @property
    def resolve_slack_seconds(self) -> float:
        """Return how long after its outcome deadline an operation may be open while all is well.

        It is queried only after the deadline: two rounds of queries, and the time that an answer may take.
        """
        return 2 * self.recovery_interval_seconds + self.provider_timeout_seconds


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check every setting.

    Raises StartRefused with one sentence that names the variable or file and what is allowed.
    """
    for name in environment:
        for old, new in _RENAMED.items():
            if name.startswith("REFPAY_") and name.endswith(old):
                raise StartRefused(f"{name} is called {name.removesuffix(old)}{new} now; set that.")
    return _Reader(environment).all_of(Settings)


def read_payout_limits(text: str = _PAYOUT_ALONE) -> Mapping[Currency, int]:
    """Return the minor units that each currency's major amount is, as in `EUR=10000.50 JPY=1500000`.

    Raises StartRefused unless each currency stands there once, with the decimals that it has.
    """
    limits: dict[Currency, int] = {}
    for part in text.split():
        name, _, amount = part.partition("=")
        currency = Currency(name) if name in set(Currency) else None
        minor = None if currency is None else read_major(amount, currency)
        if currency is None or minor is None or currency in limits or minor > MAXIMUM_MINOR:
            raise _wrong("REFPAY_PAYOUT_ALONE_MAX", part, _PAYOUT_ALONE_ALLOWED)
        limits[currency] = minor
    if missing := ", ".join(one for one in Currency if one not in limits):
        raise StartRefused(
            f"REFPAY_PAYOUT_ALONE_MAX has no limit for {missing}, allowed: {_PAYOUT_ALONE_ALLOWED}."
        )
    return limits


def _read_provider(read: _Reader, name: str) -> ProviderSettings:
    """Read one provider. Its own variables override the common ones."""
    prefix = f"REFPAY_{name.upper()}"
    seconds = read.seconds("REFPAY_PROVIDER_TIMEOUT_SECONDS", 2, 0.01, 30)
    attempts = read.integer("REFPAY_PROVIDER_ATTEMPTS", 3, 1, 10)
    deadline = read.seconds("REFPAY_OUTCOME_DEADLINE_SECONDS", 15, 0.1, 3600)
    provider = ProviderSettings(
        name=name,
        url=read.url(f"{prefix}_URL", _HTTP),
        api_key=read.secret(f"{name}_api_key"),
        timeout_seconds=read.seconds(f"{prefix}_TIMEOUT_SECONDS", seconds, 0.01, 30),
        attempts=read.integer(f"{prefix}_ATTEMPTS", attempts, 1, 10),
        outcome_deadline_seconds=read.seconds(f"{prefix}_OUTCOME_DEADLINE_SECONDS", deadline, 0.1, 3600),
        webhook_networks=read.networks(f"{prefix}_WEBHOOK_NETWORKS"),
    )
    budget = provider.call_budget_seconds + DEADLINE_SLACK_SECONDS
    if budget >= provider.outcome_deadline_seconds:
        raise StartRefused(
            f"REFPAY_OUTCOME_DEADLINE_SECONDS is {provider.outcome_deadline_seconds:g}, but a call to {name} "
            f"may take {budget:g} s (timeout x attempts, pauses, slack), so an operation could be failed "
            "while it is still being sent: raise the deadline, or lower the timeout or the attempts."
        )
    return provider


def _read_nats(read: _Reader) -> str:
    url = read.url("REFPAY_NATS_URL", ("nats",))
    if "@" in urlsplit(url).netloc:
        raise StartRefused(
            "REFPAY_NATS_URL contains a user or a password: leave them out, because the user is refpay "
            "and the password is read from the secrets folder."
        )
    return url


def _read_monitoring(read: _Reader) -> str:
    host = urlsplit(read.text("REFPAY_NATS_URL")).hostname
    return read.optional_url("REFPAY_NATS_MONITORING_URL") or f"http://{host}:{_NATS_MONITORING_PORT}"


def read_database(environment: Mapping[str, str], *, user: str | None, secret: str) -> DatabaseSettings:
    """Read the database's URL. `user` replaces the user in it; `secret` is the password's file."""
    read = _Reader(environment)
    parts = urlsplit(read.url("REFPAY_DATABASE_URL", ("postgresql", "postgres")))
    if parts.password is not None:
        raise StartRefused(
            "REFPAY_DATABASE_URL contains a password: leave it out, because it is read from the secrets "
            "folder."
        )
    name = user or parts.username
    if not name or not parts.hostname or len(parts.path) < 2:
        raise StartRefused(
            "REFPAY_DATABASE_URL is incomplete: it needs user, host and database, as in "
            "postgresql://refpay_app@127.0.0.1:5432/refpay."
        )
    url = f"postgresql://{name}@{parts.netloc.rpartition('@')[2]}{parts.path}"
    return DatabaseSettings(url, user=name, password=read.secret(secret))


def read_secret(folder: Path, name: str) -> str:
    """Return a secret without surrounding blanks. No error contains it."""
    file = folder / name
    text = read_bounded(file, "secret file", _SECRET_MAXIMUM_BYTES).strip()
    if not text:
        raise StartRefused(f"The secret file is empty: {file}.")
    return text


def read_bounded(file: Path, what: str, most_bytes: int) -> str:
    """Return a file's text. Raises StartRefused, which names the file but never quotes it."""
    try:
        with file.open("rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as problem:
        raise StartRefused(f"The {what} cannot be read: {file} ({problem.strerror}).") from problem
    if len(content) > most_bytes:
        raise StartRefused(f"The {what} is too large: {file} has more than {most_bytes} bytes.")
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        raise StartRefused(f"The {what} is not UTF-8: {file}.") from problem
