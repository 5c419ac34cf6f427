"""Small parts alone: money, identifiers, settings, card numbers, gauges' arithmetic."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refpay
from refpay import ids
from refpay.errors import InvariantViolation, StartRefused
from refpay.ids import mint_id
from refpay.money import EXPONENTS, MAXIMUM_MINOR, Currency, Money
from refpay.payments.claims import fingerprint
from refpay.runtime import listen
from refpay.settings import RiskSettings, read_settings


@pytest.mark.parametrize(
    ("amount", "currency", "major"),
    [
        (1, "EUR", "0.01"),
        (1234, "EUR", "12.34"),
        (12, "JPY", "12"),
        (1, "KWD", "0.001"),
        (1234, "KWD", "1.234"),
        (MAXIMUM_MINOR, "USD", "92233720368547758.07"),
    ],
)
def test_major_amounts_are_exact(amount: int, currency: str, major: str) -> None:
    """Zero, two and three decimals, to the end of 63 bits."""
    assert Money(amount, Currency(currency)).to_major() == major


@given(st.integers(1, MAXIMUM_MINOR), st.sampled_from(Currency))
def test_major_amounts_lead_back(amount: int, currency: Currency) -> None:
    """Without the point, the digits are the minor units."""
    major = Money(amount, currency).to_major()
    assert int(major.replace(".", "")) == amount
    assert len(major.partition(".")[2]) == EXPONENTS[currency]


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_amounts_out_of_range_are_no_money(amount: int) -> None:
    """Zero, negative, beyond 63 bits."""
    with pytest.raises(InvariantViolation):
        Money(amount, Currency.EUR)


def test_identifiers_are_version_seven_and_in_order_of_time() -> None:
    """The first 48 bits are the milliseconds; version and variant are right."""
    early, late = (datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC) for second in (1, 2))
    first, second = mint_id(early), mint_id(late)
    assert first < second
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first.int >> 80 == int(early.timestamp() * 1000)
    assert mint_id(early) != first


_FORKED = """
import os
from datetime import UTC, datetime
from refpay.ids import mint_id
now = datetime.now(UTC)
mint_id(now)
child = os.fork()
os.write(1, f"{mint_id(now)} ".encode())
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_mints_ids_of_its_own() -> None:
    """What the parent has drawn in advance is not used twice."""
    told = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, check=True)
    minted = told.stdout.split()
    assert len(set(minted)) == len(minted) == 2


def test_threads_that_empty_the_pool_keep_nobody_from_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt_log of acknowledgements mints in a thread of its own, beside the loop."""

    class Contested(list[bytes]):
        """Another thread has taken everything as soon as somebody has looked or filled it up."""

        def __len__(self) -> int:
            return 1

        def extend(self, _drawn: Iterable[bytes]) -> None:
            self.clear()

    monkeypatch.setattr(ids, "_DRAWN", Contested())
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({mint_id(now) for _ in range(100)}) == 100


def test_fingerprints_tell_meaning_from_spelling() -> None:
    """Order of keys is spelling; method, path, value and type are meaning."""
    same = fingerprint("POST", "/a", {"x": 1, "y": 2})
    assert same == fingerprint("POST", "/a", {"y": 2, "x": 1})
    for other in (
        fingerprint("PUT", "/a", {"x": 1, "y": 2}),
        fingerprint("POST", "/b", {"x": 1, "y": 2}),
        fingerprint("POST", "/a", {"x": 1, "y": 3}),
        fingerprint("POST", "/a", {"x": "1", "y": 2}),
        fingerprint("POST", "/a", {"x": 1}),
    ):
        assert other != same


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return a complete environment."""
    for name in ("refpay_app_password", "north_api_key", "south_api_key", "nats_password"):
        (tmp_path / name).write_text(f"secret-{name}\n")
    return {
        "REFPAY_DATABASE_URL": "postgresql://refpay_app@127.0.0.1:5432/refpay",
        "REFPAY_SECRETS_FOLDER": str(tmp_path),
        "REFPAY_ACKNOWLEDGEMENTS_FOLDER": str(tmp_path),
        "REFPAY_NORTH_URL": "http://127.0.0.1:1/",
        "REFPAY_SOUTH_URL": "http://127.0.0.1:2",
    }


def test_settings_have_the_contracted_defaults(environment: dict[str, str]) -> None:
    """And show no secret."""
    settings = read_settings(environment)
    assert {(one.timeout_seconds, one.attempts) for one in settings.providers} == {(2, 3)}
    assert (settings.recovery_interval_seconds, settings.check_interval_seconds) == (0.5, 1)
    assert settings.outcome_deadline_seconds == 15
    assert {one.call_budget_seconds for one in settings.providers} == {7}
    own = Path(refpay.__file__).parent
    assert (settings.catalogue_file, settings.costs_file) == (own / "catalogue.json", own / "costs.json")
    assert settings.risk == RiskSettings(60, 500, 20, 50, autoblock=False, fail_open_max_minor=5000)
    assert read_settings({**environment, "REFPAY_RISK_AUTOBLOCK": "true"}).risk.autoblock
    assert "secret-" not in repr(settings)
    assert settings.database.password == "secret-refpay_app_password"
    assert settings.messaging is None


def test_a_providers_own_promise_goes_before_the_common_one(environment: dict[str, str]) -> None:
    """The longest of all decides how long any call may take."""
    own = {"REFPAY_SOUTH_TIMEOUT_SECONDS": "4", "REFPAY_SOUTH_ATTEMPTS": "2"}
    settings = read_settings({**environment, **own, "REFPAY_PROVIDER_TIMEOUT_SECONDS": "1"})
    assert [(one.timeout_seconds, one.attempts) for one in settings.providers] == [(1, 3), (4, 2)]
    assert [one.call_budget_seconds for one in settings.providers] == [4, 8.5]
    assert settings.provider_timeout_seconds == 4


def test_a_provider_may_declare_where_its_webhooks_come_from(environment: dict[str, str]) -> None:
    """Networks or single addresses of both kinds; another provider declares none."""
    networks = {"REFPAY_NORTH_WEBHOOK_NETWORKS": "192.0.2.0/24, 198.51.100.7,2001:db8::/48"}
    north, south = read_settings({**environment, **networks}).providers
    read = [str(one) for one in north.webhook_networks]
    assert read == ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/48"]
    assert south.webhook_networks == ()


def test_who_needs_nats_says_where_it_is(environment: dict[str, str]) -> None:
    """Its password comes from the secrets folder and is not shown; the API needs neither."""
    settings = read_settings({**environment, "REFPAY_NATS_URL": "nats://127.0.0.1:4222"})
    assert settings.messaging is not None
    assert settings.messaging.password == "secret-nats_password"
    assert (settings.messaging.attempts_maximum, settings.messaging.ack_wait_seconds) == (6, 10)
    assert "secret-" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("REFPAY_DATABASE_URL", "mysql://x@y/z", "REFPAY_DATABASE_URL"),
        ("REFPAY_DATABASE_URL", "postgresql://a:hunter2@h/d", "contains a password"),
        ("REFPAY_DATABASE_URL", "postgresql://127.0.0.1", "incomplete"),
        ("REFPAY_NORTH_URL", "ftp://x", "REFPAY_NORTH_URL"),
        ("REFPAY_NORTH_URL", "http://[", "REFPAY_NORTH_URL"),
        ("REFPAY_LISTEN_PORT", "65536", "0 to 65535"),
        ("REFPAY_LISTEN_PORT", "-1", "0 to 65535"),
        ("REFPAY_PROVIDER_ATTEMPTS", "0", "1 to 10"),
        ("REFPAY_PROVIDER_TIMEOUT_SECONDS", "nan", "0.01 to 30"),
        ("REFPAY_PROVIDER_TIMEOUT_SECONDS", "soon", "0.01 to 30"),
        ("REFPAY_NORTH_TIMEOUT_SECONDS", "31", "REFPAY_NORTH_TIMEOUT_SECONDS is '31', allowed: seconds"),
        ("REFPAY_SOUTH_ATTEMPTS", "0", "REFPAY_SOUTH_ATTEMPTS is '0', allowed: a whole number from 1 to 10"),
        ("REFPAY_OUTCOME_DEADLINE_SECONDS", "8", "raise the deadline"),
        ("REFPAY_PAYOUT_ALONE_MAX_MINOR", "1", "is called REFPAY_PAYOUT_ALONE_MAX now"),
        (
            "REFPAY_PAYOUT_ALONE_MAX",
            "EUR=1 USD=1 JPY=1.5 KWD=1",
            "REFPAY_PAYOUT_ALONE_MAX is 'JPY=1.5', allowed",
        ),
        ("REFPAY_PAYOUT_ALONE_MAX", "EUR=1 EUR=2 USD=1 JPY=1 KWD=1", "is 'EUR=2', allowed: each of EUR"),
        ("REFPAY_PAYOUT_ALONE_MAX", "EUR=1 JPY=1", "has no limit for USD, KWD, allowed: each of EUR, USD"),
        ("REFPAY_PAYOUT_ALONE_MAX", "eur=1 USD=1 JPY=1 KWD=1", "is 'eur=1', allowed: each of EUR"),
        ("REFPAY_SETTLE_DEADLINE_SECONDS", "30", "is called REFPAY_OUTCOME_DEADLINE_SECONDS now"),
        ("REFPAY_NORTH_SETTLE_DEADLINE_SECONDS", "30", "is called REFPAY_NORTH_OUTCOME_DEADLINE_SECONDS now"),
        ("REFPAY_SETTLE_INTERVAL_SECONDS", "1", "is called REFPAY_RECOVERY_INTERVAL_SECONDS now"),
        ("REFPAY_SOUTH_TIMEOUT_SECONDS", "5", "a call to south may take 17 s"),
        ("REFPAY_SECRETS_FOLDER", "/nowhere/at/all", "/nowhere/at/all"),
        ("REFPAY_ACKNOWLEDGEMENTS_FOLDER", "/nowhere/at/all", "/nowhere/at/all"),
        ("REFPAY_RISK_WINDOW_SECONDS", "0", "1 to 3600"),
        ("REFPAY_RISK_SMALL_AMOUNT_MINOR", "1001", "1 to 1000"),
        ("REFPAY_RISK_ANSWERED_LEAST", "1", "2 to 200"),
        ("REFPAY_RISK_DECLINED_PERCENT", "0", "1 to 100"),
        ("REFPAY_RISK_AUTOBLOCK", "yes", "REFPAY_RISK_AUTOBLOCK is 'yes', allowed: true, false"),
        ("REFPAY_RISK_FAIL_OPEN_MAX_MINOR", "-1", "REFPAY_RISK_FAIL_OPEN_MAX_MINOR"),
        ("REFPAY_NATS_URL", "http://127.0.0.1:4222", "REFPAY_NATS_URL"),
        ("REFPAY_NATS_URL", "nats://refpay:hunter2@127.0.0.1", "contains a user or a password"),
        ("REFPAY_DELIVERY_ATTEMPTS", "0", "1 to 100"),
        ("REFPAY_RATE_REFUSED_PER_SECOND", "0", "1 to 1000000"),
        ("REFPAY_NORTH_WEBHOOK_NETWORKS", "north", "REFPAY_NORTH_WEBHOOK_NETWORKS is 'north', allowed"),
        ("REFPAY_NORTH_WEBHOOK_NETWORKS", "192.0.2.1/24", "'192.0.2.1/24', allowed: .* without host bits"),
        ("REFPAY_NORTH_WEBHOOK_NETWORKS", "192.0.2.0/24,", "is '', allowed: networks such as"),
        ("REFPAY_SOUTH_WEBHOOK_NETWORKS", "0.0.0.0/0", "'0.0.0.0/0', allowed: .* of at least /8"),
        ("REFPAY_SOUTH_WEBHOOK_NETWORKS", "2001::/15", "or /16 .IPv6."),
        ("REFPAY_SOUTH_WEBHOOK_NETWORKS", "192.0.2.0/24," * 65, "is '66 networks', allowed: at most 64"),
    ],
)
def test_wrong_settings_are_named(environment: dict[str, str], name: str, value: str, named: str) -> None:
    """With what is allowed, and without any secret."""
    with pytest.raises(StartRefused, match=named.replace("/", ".")) as refused:
        read_settings({"REFPAY_NATS_URL": "nats://127.0.0.1:4222", **environment, name: value})
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize("content", ["", " \n", "x" * 70_000])
def test_an_unusable_secret_names_its_file(environment: dict[str, str], tmp_path: Path, content: str) -> None:
    """Empty, blank, too large; the text itself is not shown."""
    (tmp_path / "north_api_key").write_text(content)
    with pytest.raises(StartRefused, match="north_api_key") as refused:
        read_settings(environment)
    assert "xxx" not in refused.value.detail


async def test_an_answer_does_not_wait_for_a_delayed_acknowledgement() -> None:
    """On any event loop Nagle's algorithm is off, or the second part of every answer is 40 ms late."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listen(0)
    async with await asyncio.start_server(accept, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await asyncio.wait_for(accepted, 30)
        writer.close()
        await writer.wait_closed()
