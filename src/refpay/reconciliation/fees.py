"""What a provider is expected to charge for a capture; a refund costs nothing."""

from collections.abc import Callable

from refpay.costs import METHOD, CostModel

# Provider, currency, amount in minor units -> fee in minor units of the same currency.
ExpectedFee = Callable[[str, str, int], int]


def agreed_fees(costs: CostModel) -> ExpectedFee:
    """Return the fees of the cost model; every payment of ours is by card."""

    def expected_fee(provider: str, currency: str, amount_minor: int) -> int:
        return costs.fee_minor(provider, METHOD, currency, amount_minor)

    return expected_fee
