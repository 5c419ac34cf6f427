"""The criteria of what clients felt, by their own log."""

import math
from typing import Final

from moneypath.capacity.client import over, quantile
from moneypath.capacity.figures import Figures
from moneypath.capacity.gate_file import DeclaredObjectives, Gate
from moneypath.capacity.observation import NOT_READ, NOTHING, Observation

# Chance moves the approvals of a good build as far once in 16,000 verdicts.
DEVIATIONS: Final = 4


def latency(figures: Figures, gate: Gate, objectives: DeclaredObjectives) -> Observation:
    """Judge the latency from when each request was due.

    If the schedule itself ran late, that is part of it. Then the measure is inconclusive, unless the latency
    from when each was sent breaks the objective too.
    """
    share, limit = float(objectives.latency.objective), objectives.within_seconds
    client, limits = figures.client, gate.limits
    allowed = f"{share:.4%} within {limit:g} s of when due".replace(".0000%", "%")
    if client is None:
        return Observation(None, NOT_READ, allowed)
    late = client.late_share(limits.late_after)
    if late is None:
        return Observation(None, NOTHING, allowed)
    budget = (1 - share) * len(client.requests) * (1 + 1e-12)
    slow = over(client.from_due, limit)
    p95, p99 = (quantile(client.from_due, each) * 1000 for each in (0.95, 0.99))
    within = 1 - slow / len(client.requests)
    seen = f"p95 {p95:.0f} ms, p99 {p99:.0f} ms; {within:.3%} within {limit:g} s"
    if late > float(limits.late_at_most_ratio) and over(client.from_sent, limit) <= budget:
        words = (
            f"the schedule was not kept, {late:.1%} were sent over {limits.late_after:g} s late; "
            f"from when due: {seen}"
        )
        return Observation(None, words, allowed, inconclusive=True)
    return Observation(slow <= budget, seen, allowed)


def answers(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge how many requests hung, or ended without an answer that says yes or no.

    A hang counts from when the request was sent, because only latency is to blame for a late schedule.
    """
    hung_after, most = gate.limits.hung_after, float(gate.limits.unanswered_at_most_ratio)
    allowed = f"at most {most:.2%} without a good answer in {hung_after:g} s"
    client = figures.client
    if client is None:
        return Observation(None, NOT_READ, allowed)
    if not client.requests:
        return Observation(None, NOTHING, allowed)
    hung = over(client.from_sent, hung_after)
    seen = (
        f"{hung} took over {hung_after:g} s, {client.unanswered} of them unanswered, {client.failed} failed, "
        f"of {len(client.requests)} requests"
    )
    return Observation(hung + client.failed <= most * len(client.requests), seen, allowed)


def refusals(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge how many valid customers were refused: every request of the plan is valid."""
    most, client = float(gate.limits.refused_at_most_ratio), figures.client
    allowed = f"at most {most:.2%} of valid requests"
    if client is None:
        return Observation(None, NOT_READ, allowed)
    if not client.requests:
        return Observation(None, NOTHING, allowed)
    share = client.refused / len(client.requests)
    return Observation(
        share <= most, f"{client.refused} of {len(client.requests)} refused = {share:.2%}", allowed
    )


def approvals(figures: Figures, gate: Gate, _: DeclaredObjectives) -> Observation:
    """Judge the share of approved authorizations against what the issuers of the plan's cards approve."""
    expected, client = float(gate.load.approved_ratio), figures.client
    if client is None:
        return Observation(None, NOT_READ, f"{expected:.1%}")
    decided, approved = client.authorizations
    if not decided:
        return Observation(None, NOTHING, f"{expected:.1%}")
    tolerance = DEVIATIONS * math.sqrt(expected * (1 - expected) / decided)
    share = approved / decided
    return Observation(
        abs(share - expected) <= tolerance,
        f"{approved} of {decided} approved = {share:.2%}",
        f"{expected:.1%}, give or take {tolerance:.2%}",
    )
