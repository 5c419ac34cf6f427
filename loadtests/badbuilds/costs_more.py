"""A bad build of refpay: every captured payment costs 20 % more, as under a tariff that was not agreed.

It is never part of the product.
"""

from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.costs import CostModel

PERCENT_MORE: Final = 20


def raise_fee(fee_minor: Any) -> Any:
    """Return a method that charges more than the agreed fee."""

    def dearer(self: CostModel, provider: str, method: str, currency: str, amount_minor: int) -> int:
        agreed: int = fee_minor(self, provider, method, currency, amount_minor)
        return agreed + agreed * PERCENT_MORE // 100

    return dearer


if __name__ == "__main__":
    replace(CostModel, "fee_minor", raise_fee)
    serve()
