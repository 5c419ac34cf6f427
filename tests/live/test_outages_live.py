"""One server after the other is taken away under load: no money is lost or doubled, and all heals by itself.

Each outage has a stack of its own; what was paged is in the table of `make outages`.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from proofs.outages.errors import MountRefused
from proofs.outages.outage import Outage, Server, Way
from proofs.outages.run import run_outage
from proofs.outages.table import to_document, to_row
from tests.outage_table import PROPERTY

pytestmark = [pytest.mark.proof, pytest.mark.outage, pytest.mark.timeout(420)]

_LOG = logging.getLogger(__name__)
# Somebody has to know; which of them comes first is a matter of the machine.
PAYMENTS_FAIL = frozenset(
    {"MoneyPathAuthorizationHardDown", "MoneyPathAuthorizationBudgetBurn", "MoneyPathTrafficMissing"}
)
MESSAGES_WAIT = frozenset({"MoneyPathQueueBacklog"})
OUTAGES = (
    Outage(Server.POSTGRES, Way.FROZEN, 20, PAYMENTS_FAIL, pays=False),
    Outage(Server.POSTGRES, Way.STOPPED, 20, PAYMENTS_FAIL, pays=False),
    Outage(Server.POSTGRES, Way.DISK_FULL, 30, PAYMENTS_FAIL, pays=False),
    Outage(Server.NATS, Way.FROZEN, 20, MESSAGES_WAIT),
    Outage(Server.NATS, Way.STOPPED, 20, MESSAGES_WAIT),
    Outage(Server.NATS, Way.DISK_FULL, 30, MESSAGES_WAIT),
    Outage(Server.PROMETHEUS, Way.FROZEN, 15),
    Outage(Server.PROMETHEUS, Way.STOPPED, 15),
    Outage(Server.ALERTMANAGER, Way.FROZEN, 15),
    Outage(Server.ALERTMANAGER, Way.STOPPED, 15),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name.replace(" ", "-"))
async def test_an_outage_under_load_loses_nothing_and_heals_by_itself(
    outage: Outage, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is lost, doubled or unbalanced; all is whole within a minute; only what is ill pages."""
    # PostgreSQL does not run as root and has to enter it. It stays if the test fails.
    run_folder = Path(tempfile.mkdtemp(prefix="outage-"))
    run_folder.chmod(0o711)
    try:
        result = await run_outage(outage, run_folder, _LOG.info)
    except MountRefused as refused:
        pytest.skip(refused.what)
    record_property(PROPERTY, to_row(result))
    _LOG.info("%s", json.dumps(to_document(result), indent=1))
    assert not result.findings, "\n".join((*result.findings, f"evidence: {run_folder}"))
    shutil.rmtree(run_folder, ignore_errors=True)
