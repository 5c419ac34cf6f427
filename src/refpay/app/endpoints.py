"""Every endpoint of the API."""

from typing import Final

from refpay.app import (
    audit_routes,
    house_routes,
    identity_routes,
    ledger_routes,
    operation_routes,
    payment_routes,
    webhook_routes,
)
from refpay.app.contract import Served

SERVED: Final[tuple[Served, ...]] = (
    *payment_routes.routes.served,
    *ledger_routes.routes.served,
    *webhook_routes.routes.served,
    *operation_routes.routes.served,
    *audit_routes.routes.served,
    *identity_routes.routes.served,
    *house_routes.routes.served,
)
