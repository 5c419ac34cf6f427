"""Somebody has the password of the database's owner: on a whole stack, what he writes is paged and named.

Forged entries of each kind, and an audit record and an entry that are changed and sealed anew.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import pytest
from tests.live.test_webhooks_live import Shop, open_shop
from tests.proof_table import caught_by
from tests.refpay.ledger.test_ledger_causes import ENTRY, PAIRS

from moneypath.alerting.facts import describe
from moneypath.alerting.timing import Scale
from moneypath.incidents.paging import Page, Pager
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack import secrets
from moneypath.stack.starters import LiveStack, LiveStackSettings
from refpay.ids import mint_id
from refpay.ledger.entries import EntryKind
from refstack.live_stack import running_stack

pytestmark = [pytest.mark.proof, pytest.mark.attack, pytest.mark.timeout(900)]

PATH: Final = load(Path(__file__).parents[3] / FILE_NAME)
SCALE: Final = 60
UNEXPLAINED: Final = "MoneyPathCaptureUnposted"
BROKEN: Final = {"audit": "MoneyPathAuditChainBroken", "ledger": "MoneyPathLedgerChainBroken"}
ROLES: Final = frozenset({"eng", "ops", "compliance"})
# In production, from the finding to the page. An entry is looked at after the deadline of its operation.
WITHIN_SECONDS: Final = {
    one.name: float(one.detect_within_seconds)
    for one in describe(PATH, Scale(1))
    if one.detect_within_seconds is not None
}
PATIENCE_SECONDS: Final = 120


@dataclass(slots=True)
class Pages:
    """Every page of a stack, in order."""

    pager: Pager
    all: list[Page] = field(default_factory=list)

    async def told(
        self, alert: str, status: str, roles: frozenset[str], since: float, **labels: str
    ) -> float:
        """Wait until every role was told, after an instant, that an alert has a status; return when."""

        def when() -> dict[str, float]:
            return {
                page.role: page.at
                for page in reversed(self.all)
                for one in page.alerts
                if page.at >= since
                and (one.name, one.status) == (alert, status)
                and labels.items() <= one.labels.items()
            }

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not roles <= when().keys():
                after = self.all[-1].seq if self.all else 0
                self.all += await self.pager.pages_after(after, wait_seconds=1)
        return max(when()[role] for role in roles)


@asynccontextmanager
async def owner_of(live: LiveStack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect as somebody does who has found the password of the migration."""
    password = secrets.read(live.endpoints.run_folder / "secrets" / "schema", "refpay_owner_password")
    port = live.endpoints.oracle_dsn.rsplit(":", 1)[1].split("/")[0]
    connection = await asyncpg.connect(f"postgresql://refpay_owner:{password}@127.0.0.1:{port}/refpay")
    try:
        yield connection
    finally:
        await connection.close()


def environment_of(live: LiveStack, name: str) -> dict[str, str]:
    """Return the environment that a process of the stack runs with."""
    content = Path(f"/proc/{live.supervisor.pids()[name]}/environ").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in content.split("\0") if line)


async def verify(live: LiveStack, package: str) -> set[tuple[str, str]]:
    """Run `verify` as an operator does beside the worker; return kind and subject of what was found."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", package, "verify", "--json",
        env=environment_of(live, "refpay-worker"), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await running.communicate()
    report = json.loads(output)
    assert running.returncode == (1 if report["findings"] else 0)
    assert report["compared"] > 0
    return {(one["kind"], one["subject"]) for one in report["findings"]}


async def forge(owner: "asyncpg.Connection[asyncpg.Record]", kind: EntryKind, provider: str) -> UUID:
    """Write an entry of now that nothing stands behind."""
    at = datetime.now(UTC)
    accounts = [account.replace("north", provider) for account in PAIRS[kind]]
    payment_id = mint_id(at) if kind in ("hold", "release", "posting", "reversal") else None
    entry_id = mint_id(at)
    await owner.execute(
        ENTRY, entry_id, kind, mint_id(at), payment_id, at, accounts, ["EUR", "EUR"], [700, -700]
    )
    return entry_id


async def take_back(owner: "asyncpg.Connection[asyncpg.Record]", forged: list[UUID]) -> None:
    """Remove entries that are not sealed yet without a trace."""
    async with owner.transaction():
        for table in ("ledger.entry", "ledger.posted"):
            await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await owner.execute("DELETE FROM ledger.entry WHERE id = ANY ($1)", forged)
        await owner.execute("DELETE FROM ledger.posted WHERE entry_id = ANY ($1)", forged)
        for table in ("ledger.entry", "ledger.posted"):
            await owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
        await owner.execute("ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_registered")


@pytest.fixture(scope="module")
def read_by_verify() -> Mapping[str, str]:
    """Return which command verifies which chain."""
    return {"audit": "refpay.audit", "ledger": "refpay.ledger"}


async def test_what_the_owner_of_the_database_forges_is_paged_and_named(
    tmp_path: Path, read_by_verify: Mapping[str, str]
) -> None:
    """Eleven kinds, two at a time, each of one provider; and then both chains, computed anew."""
    said = []
    settings = LiveStackSettings(PATH, tmp_path, SCALE, events_per_second=1)
    async with (
        running_stack(settings, lambda _: None) as live,
        open_shop(live) as shop,
        owner_of(live) as owner,
        Pager(live.endpoints.pager) as pager,
    ):
        pages = Pages(pager)
        expect_owner_unknown(live)
        for _ in range(3):
            await shop.captured()
        await owner.execute("ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused")
        said.append(await forge_each_kind(live, shop, owner, pages))
        for chain, package in read_by_verify.items():
            said.append(await change_and_seal_anew(live, owner, pages, chain, package))
    caught_by([" | ".join(said)])


def expect_owner_unknown(live: LiveStack) -> None:
    """Assert that nothing that API and worker are given to read holds the owner's password."""
    folder = live.endpoints.run_folder
    password = secrets.read(folder / "secrets" / "schema", "refpay_owner_password")
    for name in ("refpay-api", "refpay-worker"):
        environment = environment_of(live, name)
        given = {Path(value) for value in environment.values() if value.startswith(str(folder))}
        read = [file for one in given for file in one.rglob("*") if file.is_file()]
        assert folder / "secrets" / "refpay" / "refpay_app_password" in read
        texts = [file.read_bytes() for file in read]
        assert not [text for text in texts if password.encode() in text], name
        assert password not in environment.values()


async def forge_each_kind(
    live: LiveStack, shop: Shop, owner: "asyncpg.Connection[asyncpg.Record]", pages: Pages
) -> str:
    """Forge, wait for the page, verify, and take back, so that each page is of its own entry."""
    took: dict[str, float] = {}
    providers = PATH.provider_ids()
    # While a transaction is open nothing is sealed, so what was forged can be taken back without a trace.
    async with shop.books.transaction():
        await shop.books.execute("SELECT pg_current_xact_id()")
        each, of = list(EntryKind), len(providers)
        for kinds in (each[first : first + of] for first in range(0, len(each), of)):
            begun = time.time()
            forged = {
                kind: await forge(owner, kind, provider)
                for kind, provider in zip(kinds, providers, strict=False)
            }
            for kind, provider in zip(kinds, providers, strict=False):
                at = await pages.told(UNEXPLAINED, "firing", ROLES, begun, provider=provider)
                took[kind] = at - begun
            named = await verify(live, "refpay.ledger")
            assert named == {("entry_unexplained", str(entry_id)) for entry_id in forged.values()}
            ended = time.time()
            await take_back(owner, list(forged.values()))
            for _, provider in zip(kinds, providers, strict=False):
                await pages.told(UNEXPLAINED, "resolved", ROLES, ended, provider=provider)
    slowest = max(took, key=lambda kind: took[kind])
    assert set(took) == set(EntryKind)
    assert took[slowest] <= WITHIN_SECONDS[UNEXPLAINED], took
    return f"{len(took)} kinds forged: paged in {min(took.values()):.1f} to {took[slowest]:.1f} s ({slowest})"


_CHANGED: Final = {
    "audit": (
        "UPDATE audit.event SET actor = 'nobody' WHERE id = $1",
        "SELECT id FROM audit.event ORDER BY written_in, id OFFSET 4 LIMIT 1",
    ),
    "ledger": (
        "UPDATE ledger.entry SET accounts[2] = 'merchant_payable:thief' WHERE id = $1",
        "SELECT id FROM ledger.entry WHERE kind = 'posting' ORDER BY written_in, id LIMIT 1",
    ),
}


async def change_and_seal_anew(
    live: LiveStack, owner: "asyncpg.Connection[asyncpg.Record]", pages: Pages, chain: str, package: str
) -> str:
    """Change one record, compute every seal anew in one transaction, and wait for the page."""
    statement, query = _CHANGED[chain]
    victim: UUID = await owner.fetchval(query)
    await sealed_and_kept(live, owner, chain, victim)
    assert await verify(live, package) == set()
    table, function = {
        "audit": ("audit.event", "audit.seal_events"),
        "ledger": ("ledger.entry", "ledger.seal_entries"),
    }[chain]
    begun = time.time()
    async with owner.transaction():
        for one in (table, f"{chain}.seal"):
            await owner.execute(f"ALTER TABLE {one} DISABLE TRIGGER USER")
        if chain == "ledger":
            await owner.execute("DELETE FROM ledger.balance")
        await owner.execute(statement, victim)
        await owner.execute(f"DELETE FROM {chain}.seal")  # noqa: S608 - a name of ours
    await owner.fetchval(f"SELECT {function}($1, 2000)", datetime.now(UTC))
    at = await pages.told(BROKEN[chain], "firing", ROLES, begun)
    assert at - begun <= WITHIN_SECONDS[BROKEN[chain]]
    named = await verify(live, package)
    assert {subject for kind, subject in named if kind == "entry_differs"} == {str(victim)}
    assert "seal_unexpected" in {kind for kind, _ in named}
    return f"{chain} changed and sealed anew: paged in {at - begun:.1f} s, named"


async def sealed_and_kept(
    live: LiveStack, owner: "asyncpg.Connection[asyncpg.Record]", chain: str, victim: UUID
) -> None:
    """Wait until a record is in a seal, and the seal is outside of the database."""
    log = live.endpoints.run_folder / "acknowledgements" / f"{chain}.seals"
    query = f"SELECT seq FROM {chain}.seal WHERE position($1::bytea IN leaves) > 0"  # noqa: S608 - a name of ours
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            seq = await owner.fetchval(query, victim.bytes)
            if seq is not None and any(
                line.startswith(b"%d " % seq) for line in log.read_bytes().splitlines()
            ):
                return
            await asyncio.sleep(0.1)
