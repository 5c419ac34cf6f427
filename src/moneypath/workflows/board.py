"""Check that every query of the Grafana board finds data on a running Prometheus."""

from dataclasses import dataclass
from pathlib import Path

from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.query_check import BoardQueryCheck, FailedQuery, check_queries
from moneypath.errors import MoneypathError
from moneypath.workflows.declaration import load_declaration


class BoardUnproven(MoneypathError):
    """Queries of the board that are refused or find nothing."""

    code = "board_unproven"


@dataclass(frozen=True, slots=True)
class BoardResult:
    """The result of every query of the board."""

    proof: BoardQueryCheck

    @property
    def passed(self) -> bool:
        """Tell whether no query failed."""
        return not self.proof.findings

    @property
    def sentence(self) -> str:
        """Return the counts as one sentence."""
        proof = self.proof
        return (
            f"{proof.panels} panels, {proof.asked} queries: {proof.with_data} return data, "
            f"{proof.quiet} are rightly empty, {len(proof.findings)} fail"
        )

    @property
    def findings(self) -> tuple[FailedQuery, ...]:
        """Return the queries that failed."""
        return self.proof.findings


async def check_board(project: Path, prometheus_url: str) -> BoardResult:
    """Run every query of the project's board on the Prometheus at `prometheus_url`.

    Raises PrometheusUnreachable when it does not answer, and what reading the declaration raises.
    """
    board = money_path_board(load_declaration(project))
    return BoardResult(await check_queries(board, prometheus_url))


def require(result: BoardResult) -> None:
    """Raise BoardUnproven with every failing query unless there is none."""
    if not result.passed:
        lines = "\n".join(f"  {each.where}: {each.problem}: {each.expr}" for each in result.findings)
        raise BoardUnproven(
            f"board not proven: {result.sentence}\n{lines}",
            hint="Check that each series is exported and each rule loaded, and that the run was long enough.",
        )
