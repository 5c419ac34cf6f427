"""Variants of the repository's declaration, for what it does not contain itself."""

from typing import Any

from moneypath.path.model import MoneyPath


def with_slo(path: MoneyPath, **update: Any) -> MoneyPath:
    """Return `path` with keys of its first objective exchanged."""
    slo = path.slos[0].model_copy(update=update)
    return path.model_copy(update={"slos": (slo, *path.slos[1:])})


def with_guard(path: MoneyPath, name: str, **update: Any) -> MoneyPath:
    """Return `path` with keys of one guard exchanged."""
    guards = (guard.model_copy(update=update) if guard.id == name else guard for guard in path.guards)
    return path.model_copy(update={"guards": tuple(guards)})
