"""Load the declaration of the money path and derive the catalogue of its metrics."""

from pathlib import Path

from moneypath.path.model import MoneyPath
from moneypath.path.source import load_yaml
from moneypath.telemetry.catalogue import Catalogue

FILE_NAME = "moneypath.yaml"


def load(file: Path) -> MoneyPath:
    """Return the money path declared in `file`; raise DeclarationInvalid with every problem found."""
    return load_yaml(file, MoneyPath)


def build_catalogue(path: MoneyPath) -> Catalogue:
    """Return the catalogue of metrics with the labels closed over what `path` declares."""
    return path.catalogue()
