"""Bugs on purpose, of the kinds that charge customers twice: the simulation has to find each of them."""

from simulation.bugs import operations, payouts, postings
from simulation.planting import BUGS

__all__ = ["BUGS", "operations", "payouts", "postings"]
