"""Serve what the SQL checks find as metrics, and run them once for a person."""

from collections.abc import Mapping
from dataclasses import dataclass

from moneypath.checks.database_address import read_dsn
from moneypath.checks.errors import DatabaseLost
from moneypath.checks.gauges import CheckGauges
from moneypath.checks.plan import CheckPlan, Plan, SourcePlan
from moneypath.checks.results import RunResult
from moneypath.checks.running import run
from moneypath.checks.session import read_only_connection
from moneypath.checks.watching import Pace, SourceWatch
from moneypath.stack.exposing import Tell, metrics_app, serve_until_stopped
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome

PACE = Pace()
VIOLATIONS_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check and what its run found."""

    check: CheckPlan
    result: RunResult


async def serve(
    plan: Plan, catalogue: Catalogue, host: str, port: int, *, tell: Tell, pace: Pace = PACE
) -> None:
    """Run the checks and serve until SIGTERM or SIGINT.

    A scrape is answered from what is known and waits for no database. Raises OSError if nothing can listen
    there, and SecretFileUnusable for a secret file that is unusable from the first.
    """
    for source in plan.sources:
        read_dsn(source.dsn_file)
    gauges = CheckGauges(plan, catalogue)
    watches = [SourceWatch(source, plan.exponents, gauges, tell=tell, pace=pace) for source in plan.sources]

    def health() -> Mapping[str, object]:
        return {"sources": {watch.name: watch.standing.value for watch in watches}}

    work = [watch.watch() for watch in watches]
    await serve_until_stopped(metrics_app(gauges.recorder, health), host, port, work=work, tell=tell)


async def run_once(plan: Plan, *, keep: int = VIOLATIONS_KEPT) -> tuple[CheckRun, ...]:
    """Run every check once, whoever owns them, and keep the first `keep` violations of each.

    Raises SecretFileUnusable; a database that is gone is the result of its checks.
    """
    found: list[CheckRun] = []
    for source in plan.sources:
        found += await _run_source(source, plan.exponents, keep)
    return tuple(found)


async def _run_source(source: SourcePlan, exponents: Mapping[str, int], keep: int) -> list[CheckRun]:
    dsn, found = read_dsn(source.dsn_file), []
    for check in source.checks:
        try:
            # Each on a connection of its own: one that runs out of time takes its connection along.
            async with read_only_connection(dsn) as connection:
                result = await run(connection, check, exponents, keep=keep)
        except DatabaseLost as lost:
            result = RunResult(check.id, CheckRunOutcome.UNREACHABLE, 0.0, 0.0, lost.reason)
        found.append(CheckRun(check, result))
    return found
