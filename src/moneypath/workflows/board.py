"""The board against a running Prometheus: does every query that it asks find data?"""

from dataclasses import dataclass
from pathlib import Path

from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.proof import Finding, Proof, prove
from moneypath.errors import MoneypathError
from moneypath.path.loader import FILE_NAME, load


class BoardUnproven(MoneypathError):
    """Queries of the board that are refused or find nothing."""

    code = "board_unproven"


@dataclass(frozen=True, slots=True)
class BoardResult:
    """Whether the board shows what it promises, in one sentence and in detail."""

    proof: Proof

    @property
    def passed(self) -> bool:
        """Tell whether every query does what it is there for."""
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
    def findings(self) -> tuple[Finding, ...]:
        """Return the queries that do not do what they are there for."""
        return self.proof.findings


async def check_board(project: Path, prometheus_url: str) -> BoardResult:
    """Run every query of the project's board on the Prometheus at `prometheus_url`.

    Raises PrometheusSilent when it does not answer, and what reading the declaration raises.
    """
    board = money_path_board(load(project / FILE_NAME))
    return BoardResult(await prove(board, prometheus_url))


def require(result: BoardResult) -> None:
    """Raise BoardUnproven with every failing query unless there is none."""
    if not result.passed:
        lines = "\n".join(f"  {each.where}: {each.problem}: {each.expr}" for each in result.findings)
        raise BoardUnproven(
            f"board not proven: {result.sentence}\n{lines}",
            hint="a series that nobody exports, a rule that is not loaded, or too short a run",
        )
