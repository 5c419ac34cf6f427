"""Every problem that there is: what callers can be answered, and what never leaves the house."""

from collections.abc import Mapping
from typing import Final

from refpay.app.contract import Problem
from refpay.app.endpoints import SERVED
from refpay.app.errors import MethodRefused, RequestRefused, RouteUnknown
from refpay.errors import StartRefused
from refpay.ledger.errors import ColdFileDamaged, MonthKept
from refpay.providers.errors import ProviderSilent
from refpay.providers.reports import ReportInvalid, ReportReplayed
from refpay.risk.errors import RiskSilent

# Answered before any endpoint is found.
UNROUTED: Final = (RouteUnknown, MethodRefused, RequestRefused)
NEVER_ANSWERED: Final[Mapping[Problem, str]] = {
    StartRefused: "said on stderr, and nothing is served",
    ProviderSilent: "becomes an outcome that is not known yet, 202",
    RiskSilent: "the authorization goes on without an assessment",
    ColdFileDamaged: "met by the ledger's command alone",
    MonthKept: "met by the ledger's command alone",
    ReportInvalid: "met by the worker alone",
    ReportReplayed: "met by the worker alone",
}


def answered() -> dict[str, Problem]:
    """Return what callers can be answered, by code."""
    found: dict[str, Problem] = {problem.code: problem for problem in UNROUTED}
    for one in SERVED:
        found |= {problem.code: problem for problem in one.endpoint.refusals()}
    return dict(sorted(found.items()))
