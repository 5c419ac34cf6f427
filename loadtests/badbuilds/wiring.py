"""Run refpay with one part replaced in its composition root."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from refpay.app.main import main
from refpay.runtime import run


def replace(module: ModuleType, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace the attribute `name` of `module` by `wrap` of it; raises AttributeError if it does not
    exist.
    """
    setattr(module, name, wrap(getattr(module, name)))


def serve() -> None:
    """Run the API as `python -m refpay.app` does."""
    sys.exit(run(main, service="refpay-api"))
