"""What asking risk costs an authorization, as a multiple of the same authorization without risk.

Run `python benchmarks/risk_screening.py`. A real PostgreSQL, both transactions of an authorization, providers
that answer at once, no HTTP: the smallest whole there is, so the ratios are the worst there are. The
candidates run interleaved, one authorization each in changing order, and medians are compared: trust the
ratios, not the times.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import shuffle
from time import perf_counter

import asyncpg

import measuring
import refpay
from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry import Catalogue, setup
from refpay.clock import SystemClock
from refpay.db.pool import Connection, Database
from refpay.db.upgrade import upgrade_schema
from refpay.identity.principals import Principal
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency, Money
from refpay.payments.claims import Command, fingerprint
from refpay.payments.intents import Deadlines
from refpay.payments.model import Order
from refpay.payments.service import Payments
from refpay.providers.port import Answer, Call, DeclineCode, ProviderResult
from refpay.risk.model import Assessment, AuthorizationAttempt
from refpay.risk.screening import HARMLESS, Screening
from refpay.settings import DatabaseSettings, RiskSettings

PASSWORD = "benchmark"  # noqa: S105 of a server that lives for a minute
ROLES = ("refpay_owner", "refpay_app", "refpay_oracle")
QUIET, ATTACKED, BLOCKED = "411111", "455555", "466666"
DAY = timedelta(days=1)

Authorize = Callable[[], Awaitable[None]]


class NotAsked(Screening):
    """Says nothing, and costs nothing."""

    async def screen(
        self,
        connection: Connection,  # noqa: ARG002
        attempts: Sequence[AuthorizationAttempt],
    ) -> Sequence[Assessment]:
        """Allow all."""
        return [HARMLESS] * len(attempts)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A provider that answers at once and declines the attacked range."""

    name: str

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Approve or decline."""
        if ATTACKED in call.card_token:
            return Answer(ProviderResult.DECLINED, decline_code=DeclineCode.SUSPECTED_FRAUD)
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")


@asynccontextmanager
async def open_server(folder: Path) -> AsyncIterator[postgres.Postgres]:
    """Run PostgreSQL with a migrated database and a copy of it without risk's index."""
    with PortPool({}) as ports:
        async with Supervisor(folder) as supervisor:
            prepared = await postgres.prepare(
                folder / "data",
                ports.reserve("postgres"),
                superuser_password=PASSWORD,
                roles=dict.fromkeys(ROLES, PASSWORD),
                owner="refpay_owner",
                database="refpay",
            )
            await supervisor.start(prepared.spec)
            owner = DatabaseSettings(prepared.url("refpay_owner"), "refpay_owner", PASSWORD)
            await upgrade_schema(owner)
            await run(prepared.admin_dsn, "CREATE DATABASE without TEMPLATE refpay OWNER refpay_owner")
            await run(prepared.dsn("refpay_owner", "without"), "DROP INDEX payments.payment_small_recent")
            await run(
                prepared.dsn("refpay_owner", prepared.database),
                "INSERT INTO risk.card_range VALUES ($1, true, 'benchmark', '2026-01-01', 'a measurement')",
                BLOCKED,
            )
            yield prepared


async def run(dsn: str, statement: str, *arguments: str) -> None:
    """Run one statement."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def open_payments(
    stack: AsyncExitStack, server: postgres.Postgres, name: str, screening: Screening
) -> Payments:
    """Return the service on a database of the server."""
    settings = DatabaseSettings(server.url("refpay_app", name), "refpay_app", PASSWORD)
    database = await Database.connect(settings, most_connections=2)
    stack.push_async_callback(database.close)
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    return Payments(
        database,
        {provider: Issuer(provider) for provider in ("north", "south")},
        deadlines=dict.fromkeys(("north", "south"), Deadlines(DAY, DAY, DAY * 2)),
        measures=ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS)),
        clock=SystemClock(),
        screening=screening,
    )


def authorizing(payments: Payments, card_range: str, amount_minor: int) -> Authorize:
    """Return what authorizes once more."""
    serial = count()
    shop = Principal("shop", frozenset())

    async def authorize() -> None:
        name = f"{card_range}-{amount_minor}-{next(serial)}"
        order = Order(name, Money(amount_minor, Currency.EUR), f"tok_{card_range}_00ff")
        await payments.authorize(Command(shop, name, fingerprint("POST", "/", name), "", "live"), order)

    return authorize


async def measure(candidates: Mapping[str, Authorize], rounds: int) -> dict[str, float]:
    """Return the median seconds of each candidate, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates.items())
    for _ in range(rounds):
        # Whoever comes after the same neighbour each time inherits its dirty pages.
        shuffle(order)
        for name, authorize in order:
            begun = perf_counter()
            await authorize()
            times[name].append(perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in times.items()}


async def compare(rounds: int) -> list[measuring.Row]:
    """Return a row a candidate; the first is the yardstick."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        server = await stack.enter_async_context(open_server(folder))
        # A window that nothing leaves, so that the attacked range is as full as it can be.
        asked = await open_payments(
            stack, server, server.database, Screening(RiskSettings(window_seconds=3600))
        )
        without = await open_payments(stack, server, "without", NotAsked(RiskSettings()))
        attack = authorizing(asked, ATTACKED, 200)
        for _ in range(300):
            await attack()
        yardstick = "without risk, without its index"
        medians = await measure(
            {
                yardstick: authorizing(without, QUIET, 10_000),
                "the same again (noise)": authorizing(without, QUIET, 10_001),
                "ordinary amount": authorizing(asked, QUIET, 10_000),
                "small amount, range full of approvals": authorizing(asked, "499999", 500),
                "small amount, range under attack, with its signal": attack,
                "blocked range": authorizing(asked, BLOCKED, 10_000),
            },
            rounds,
        )
    return [
        measuring.Row(name, seconds / medians[yardstick], "x without", detail=f"{seconds * 1e3:.2f} ms here")
        for name, seconds in medians.items()
    ]


def main() -> None:
    """Read the command line, measure and print."""
    parser = measuring.parser("What asking risk costs an authorization.", rounds=1)
    parser.add_argument("--rounds", type=int, default=1000, help="authorizations of each kind (default 1000)")
    given = parser.parse_args()
    measuring.tell(asyncio.run(compare(given.rounds)), given.json)


if __name__ == "__main__":
    main()
