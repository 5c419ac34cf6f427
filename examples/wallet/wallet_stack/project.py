"""Find the wallet's declaration, and lay out what its auditors and checks read in one run's folder."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from moneypath.errors import MoneypathError

DECLARATION: Final = "moneypath.yaml"
MARK: Final = "sql/orders_unanswered.sql"


class WalletProjectMissing(MoneypathError):
    """The wallet's declaration is nowhere."""

    code = "wallet_project_missing"
    exit_code = 2


def project_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the wallet's declaration: WALLET_PROJECT, this folder, or that of the sources."""
    places = [Path.cwd(), Path(__file__).resolve().parents[1]]
    if environ.get("WALLET_PROJECT"):
        places = [Path(environ["WALLET_PROJECT"])]
    for place in places:
        if (place / MARK).is_file():
            return place
    raise WalletProjectMissing(
        f"The wallet's declaration is not in {' or '.join(map(str, places))}.",
        hint="Go to its folder, or name it in WALLET_PROJECT.",
    )


def lay_out_checks(project: Path, folder: Path, scale: int) -> Path:
    """Copy the declaration and its queries, and return the copy; its checks run `scale` times as often."""
    shutil.copytree(project / "sql", folder / "sql", dirs_exist_ok=True)
    declared: dict[str, Any] = yaml.safe_load((project / DECLARATION).read_text(encoding="utf-8"))
    for check in declared["checks"]:
        if "sql" in check:
            check["sql"]["every_seconds"] = max(1, check["sql"].get("every_seconds", 60) // scale)
    copy = folder / DECLARATION
    copy.write_text(yaml.safe_dump(declared, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return copy


def lay_out_witnesses(project: Path, folder: Path) -> None:
    """Copy the file of witnesses with its queries; what they read is put beside them."""
    shutil.copytree(project / "witnesses", folder, dirs_exist_ok=True)
