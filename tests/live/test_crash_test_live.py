"""The crash test on a stack of its own with a few kills: the good build stays whole, the bad ones do not."""

from pathlib import Path

import pytest
from proofs.crash_test.report import classify
from proofs.crash_test.run import Plan, Result, run_crash_test
from proofs.crash_test.schedule import Process

from moneypath.oracle import DiscrepancyKind
from moneypath.stack.starters import Build
from refstack.live_stack import REFERENCE

SEED = 1


async def _run(folder: Path, plan: Plan) -> Result:
    return await run_crash_test(plan, folder, lambda _: None)


async def test_six_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """One alone, two at once, one again while it recovers: all witnesses agree on what was captured."""
    result = await _run(tmp_path, Plan(kills=6, seed=SEED))
    assert result.whole, result.findings
    assert sum(result.kills.values()) == 6
    assert min(result.kills.values()) >= 1
    assert result.audit.rows.posted_captures >= 18
    assert result.requests.resolved_later > 0
    assert not (tmp_path / "postings.jsonl").exists()


@pytest.mark.proof
@pytest.mark.parametrize(
    ("build", "plan"),
    [
        # Both find it within the first kills; what shows without any crash, and what only a crash shows.
        ("charges_twice_under_retry", Plan(kills=2, seed=SEED)),
        ("acknowledges_before_disk", Plan(kills=4, seed=SEED, processes=(Process.POSTGRES,))),
    ],
)
async def test_a_bad_build_is_not_whole(project: Path, tmp_path: Path, build: str, plan: Plan) -> None:
    """Money moved twice, or was forgotten in a crash; the ledger is kept to look at afterwards."""
    api = f"loadtests.badbuilds.{build}"
    # A commit of the good worker would take those of the bad API to disk with its own.
    worker = f"{api}_worker" if build == "acknowledges_before_disk" else REFERENCE.build.worker
    bad = Plan(plan.kills, plan.seed, plan.processes, Build(api, worker, project))
    result = await _run(tmp_path, bad)
    assert not result.whole
    classes = {classify(found.kind) for found in result.audit.discrepancies}
    assert classes & {"lost", "doubled"}, result.findings
    if build == "charges_twice_under_retry":
        assert DiscrepancyKind.REFERENCE_CHARGED_TWICE in {each.kind for each in result.audit.discrepancies}
    assert (tmp_path / "postings.jsonl").stat().st_size > 0
