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
from refpay.app.contract import Served

_MODULES = (payment_routes, webhook_routes, operation_routes, record_routes, identity_routes, house_routes)
SERVED: Final = tuple(one for module in _MODULES for one in vars(module).values() if isinstance(one, Served))
