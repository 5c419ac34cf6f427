"""The pager as a server of the stack."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from moneypath.stack.server import ServerSpec, http_ready


def spec(folder: Path, port: int, *, secrets_folder: Path) -> ServerSpec:
    """Describe the pager; it keeps `folder`/pages.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    return ServerSpec(
        name="pager",
        command=(
            *(sys.executable, "-m", "moneypath.stack.pager"),
            *("--port", str(port), "--store", str(folder / "pages.jsonl")),
            *("--secrets-folder", str(secrets_folder)),
        ),
        ready=http_ready(f"http://127.0.0.1:{port}/healthz"),
        env=python_environment(),
        cwd=folder,
        port=port,
        stop_grace_seconds=5.0,
    )


def python_environment() -> Mapping[str, str]:
    """Return what a Python child needs of our environment to import what we import."""
    kept = {key: os.environ[key] for key in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE") if os.environ.get(key)}
    return {"PYTHONUNBUFFERED": "1", **kept}
