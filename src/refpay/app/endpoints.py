"""Every endpoint of the API."""

from typing import Final

from refpay.app import house_routes, operation_routes, payment_routes
from refpay.app.contract import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *payment_routes.routes.endpoints,
    *operation_routes.routes.endpoints,
    *house_routes.routes.endpoints,
)
