"""Seeded bugs of the kinds that charge customers twice. The simulation has to find each of them."""

from proofs.simulation.bugs import operations, payouts, postings
from proofs.simulation.seeded_bugs import BUGS

__all__ = ["BUGS", "operations", "payouts", "postings"]
