"""`pip install moneypath`: the wheel in an empty environment, with its declared dependencies only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = """
import sys
from importlib import metadata

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
print(*sorted(found.name.lower() for found in metadata.distributions()))
heavy = ("aiohttp", "click", "opentelemetry", "prometheus_client", "pydantic", "rich", "yaml")
print(*[name for name in heavy if name in sys.modules])
"""


def run(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command outside the source tree."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={
            **environment,
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.live
def test_wheel_stands_alone(tmp_path: Path) -> None:
    """It needs structlog only, records and renders, and its command reports what is missing."""
    pip = (sys.executable, "-m", "pip", "--quiet")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("moneypath-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(*pip, "--python", binaries / "python", "install", wheel, cwd=tmp_path)

    told = run(binaries / "python", "-W", "error", "-c", SERVICE, cwd=tmp_path)
    assert told.stdout.splitlines() == ["True True", "moneypath structlog", ""]

    refused = run(binaries / "moneypath", "demo", cwd=tmp_path, code=1)
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "pip install 'moneypath[platform]'" in refused.stderr
