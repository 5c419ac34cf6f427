"""Describe the pager as a server of the stack."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from moneypath.stack.server import ServerSpec, http_ready


def spec(folder: Path, port: int, *, secrets_folder: Path) -> ServerSpec:
    """Describe the pager; it stores its pages in `folder`/pages.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    return ServerSpec(
        name="pager",
        command=(
            sys.executable,
            "-m",
            "moneypath.stack.pager",
            "--port",
            str(port),
            "--store",
            str(folder / "pages.jsonl"),
            "--secrets-folder",
            str(secrets_folder),
        ),
        ready=http_ready(f"http://127.0.0.1:{port}/healthz"),
        env=python_environment(),
        cwd=folder,
        port=port,
        stop_grace_seconds=5.0,
    )


def python_environment() -> Mapping[str, str]:
    """Return the environment variables that a Python child needs to import what this process imports."""
    kept = {key: os.environ[key] for key in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE") if os.environ.get(key)}
    return {"PYTHONUNBUFFERED": "1", **kept}
