"""`pip install moneypath`: the wheel in an empty environment, with its declared dependencies only."""

from importlib import metadata

import pytest
from tests.wheels.conftest import Installed

SERVICE = """
import sys

from moneypath.telemetry import Catalogue, logs, setup

vocabulary = {
    "providers": ("north",), "currencies": ("EUR",), "checks": ("ledger_balance",), "schemes": ("visa",)
}
recorder = setup(Catalogue.build(vocabulary), service="checkout")
with recorder.payment("authorize") as payment:
    payment.finish("succeeded", "north")
series = (
    'moneypath_payments_total{operation="authorize",outcome="succeeded",provider="north",'
    'traffic="live",cohort="control"} 1'
)
logs.configure("checkout", sys.stderr)
print(series in recorder.render().decode(), series in recorder.render(openmetrics=True).decode())
known = {*sys.stdlib_module_names, "moneypath", "structlog", "__main__"}
print(*sorted({name.partition(".")[0] for name in sys.modules} - known))
"""


@pytest.mark.live
def test_wheel_stands_alone(base: Installed) -> None:
    """One package and structlog: it records and renders with nothing else, and says what it lacks."""
    assert base.packages == {"moneypath", "structlog"}

    told = base.run("python", "-I", "-W", "error", "-c", SERVICE)
    assert told.stdout.splitlines() == ["True True", ""]

    for arguments in ((), ("--version",), ("demo",), ("exporter", "--help")):
        refused = base.run("moneypath", *arguments, code=1)
        assert refused.stdout == ""
        assert refused.stderr.count("\n") == 1
        assert "pip install 'moneypath[platform]'" in refused.stderr


@pytest.mark.live
def test_the_library_tells_its_version(base: Installed) -> None:
    """By the metadata of its distribution."""
    asked = base.run("python", "-c", "from importlib.metadata import version; print(version('moneypath'))")
    assert asked.stdout.strip() == metadata.version("moneypath")
