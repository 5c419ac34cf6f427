"""Every endpoint of the API: what the modules of routes declare, in their order."""

from typing import Final

from refpay.app import (
    house_routes,
    identity_routes,
    operation_routes,
    payment_routes,
    record_routes,
    webhook_routes,
)
from refpay.app.contract import Problem, Problems, Served
from refpay.app.errors import MethodRefused, RequestRefused, RouteUnknown

_MODULES = (payment_routes, webhook_routes, operation_routes, record_routes, identity_routes, house_routes)
SERVED: Final = tuple(one for module in _MODULES for one in vars(module).values() if isinstance(one, Served))
# Answered before any endpoint is found.
_UNROUTED: Final[Problems] = (RouteUnknown, MethodRefused, RequestRefused)


def answered() -> dict[str, Problem]:
    """Return what callers can be answered, by code."""
    problems = [*_UNROUTED, *(problem for one in SERVED for problem in one.endpoint.refusals())]
    return {problem.code: problem for problem in sorted(problems, key=lambda problem: problem.code)}
