"""The metrics as fourth witness: hold what they counted over one run against clients, ledger, providers.

`begin` before the first request and `compare` after the drain. Between them nobody else may send payments.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from moneypath import oracle
from moneypath.alerting.timing import Scale
from moneypath.drills.metric_comparison import MetricComparison
from moneypath.errors import MoneypathError
from moneypath.oracle.metric_expectations import RunRecords, Sender, expect_totals
from moneypath.oracle.metric_totals import compare_totals
from moneypath.oracle.received_requests import ReceivedRequests, read_received_requests
from moneypath.path.costs import fee_micro_units
from moneypath.path.model import MoneyPath
from moneypath.prometheus import Prometheus, QueryFailed
from moneypath.stack.endpoints import Endpoints
from moneypath.workflows.last_scrapes import await_last_scrapes
from moneypath.workflows.metric_reading import read_seen_totals

# The raw samples of a whole run are many.
QUERY_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Real seconds in which another sender, such as the trickle of a kept stack, has to fall silent.
QUIET_WITHIN_SECONDS: Final = 60.0
SCRAPES_PATIENCE: Final = 10.0
SERVERS_ENDED: Final = 0
"""A drill and the gate stop when a server of the stack ends, so in what they compare none has."""


@dataclass(slots=True)
class MetricWitness:
    """Compares the metrics of one run; use it for one run only.

    On a `fresh` stack nobody has sent anything yet, so there is nothing to wait for: a pause without traffic
    would be an alert of its own.
    """

    path: MoneyPath
    endpoints: Endpoints
    fresh: bool = False
    quiet_within_seconds: float = QUIET_WITHIN_SECONDS
    _since: float = field(default=0.0, init=False)
    _received: dict[str, ReceivedRequests] = field(default_factory=dict, init=False)

    async def begin(self) -> None:
        """Wait until nobody sends payments, unless the stack is fresh, and note where every count stands.

        Raises QueryFailed when somebody goes on sending, or a process is not scraped, and
        ProviderBookUnreadable.
        """
        self._since = time.time() if self.fresh else await self._quiet_since()
        self._received = await self._read_received()

    async def compare(self, senders: Sequence[Sender]) -> MetricComparison:
        """Compare, once every payment is resolved; `senders` are all that sent payments since `begin`.

        What cannot be read makes a comparison that says why, and that fails.
        """
        try:
            end = await self._scraped()
            seen = await read_seen_totals(self._prometheus, self._since, end)
            records = await self._read_records(senders)
        except MoneypathError as error:
            return MetricComparison(reason=error.what)
        fee_of = fee_micro_units(self.path.costs, self.path.currencies)
        rows = compare_totals(expect_totals(records, fee_of, seen), seen, ended=SERVERS_ENDED)
        return MetricComparison(rows, deaths=seen.deaths, seconds=end - self._since)

    async def _quiet_since(self) -> float:
        """Return the scrape after which nobody sent payments any more."""
        deadline = time.monotonic() + self.quiet_within_seconds
        before = await self._scraped()
        while True:
            after = await self._scraped()
            seen = await read_seen_totals(self._prometheus, before, after)
            if not any(seen.totals.values()):
                return after
            if time.monotonic() > deadline:
                raise QueryFailed(
                    f"Payments of somebody else did not end within {self.quiet_within_seconds:g} s.",
                    hint="Stop what else sends payments to the stack: only then can the metrics be compared.",
                )
            before = after

    async def _read_records(self, senders: Sequence[Sender]) -> RunRecords:
        received = await self._read_received()
        postings = await oracle.read_postings(self.endpoints.oracle_dsn)
        charges = [
            charge
            for name, url in self.endpoints.providers.items()
            for charge in await oracle.read_provider_book(url, self.endpoints.control_token(name))
        ]
        return RunRecords(
            senders=senders,
            postings=[line for line in postings if line.posted_at >= self._since],
            charges=[charge for charge in charges if charge.at >= self._since],
            received={name: now.after(self._received[name]) for name, now in received.items()},
            scrape_seconds=self._scrape_seconds,
        )

    async def _read_received(self) -> dict[str, ReceivedRequests]:
        return {
            name: await read_received_requests(url, self.endpoints.control_token(name))
            for name, url in self.endpoints.providers.items()
        }

    async def _scraped(self) -> float:
        jobs = tuple(target.job for target in self.path.targets)
        patience = SCRAPES_PATIENCE + 2 * self._scrape_seconds
        return await await_last_scrapes(self._prometheus, jobs, time.time(), patience)

    @property
    def _prometheus(self) -> Prometheus:
        return Prometheus(
            self.endpoints.prometheus, timeout_seconds=QUERY_SECONDS, max_answer_bytes=MAX_ANSWER_BYTES
        )

    @property
    def _scrape_seconds(self) -> float:
        return float(Scale(self.endpoints.scale).timing.scrape_seconds)
