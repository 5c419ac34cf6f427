"""A burst of unsigned webhooks on a real API process: payments are answered, and nobody is paged for it."""

import aiohttp
import pytest
from tests.proof_table import caught_by
from tests.refpay.attacks import senders
from tests.refpay.attacks.test_sockets import attacking, pay
from tests.refpay.processes import process

pytestmark = [pytest.mark.proof, pytest.mark.attack]


async def counted(url: str, name: str) -> float:
    """Return the sum of a counter's series."""
    async with aiohttp.ClientSession(url) as session, session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


async def test_strangers_page_nobody_and_keep_no_payment_from_its_answer(environment: dict[str, str]) -> None:
    """No series that the alert reads has moved; what strangers sent is counted beside it."""
    async with process("refpay.app", environment) as (_, url):
        quiet = await pay(url)
        async with attacking("unsigned-webhooks", url.rpartition(":")[2]) as attacker:
            attacked = await pay(url)
        alert, strangers = [
            await counted(url, f"moneypath_webhooks_{name}") for name in ("total", "unattributed_total")
        ]
    assert attacker.result() == senders.WEBHOOKS
    assert (alert, strangers) == (0, senders.WEBHOOKS)
    p99, before = (seconds[int(len(seconds) * 0.99)] * 1000 for seconds in (attacked, quiet))
    answered = f"{len(attacked)} payments answered, p99 {p99:.0f} ms ({before:.0f} ms before)"
    caught_by([f"{strangers:.0f} refused; {answered}"])
