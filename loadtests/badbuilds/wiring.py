"""Run refpay with one part replaced where its composition root puts the parts together."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from refpay.app.main import main
from refpay.runtime import run


def replace(module: ModuleType, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace what `module` knows as `name` by `wrap` of it; fails loudly when it is not there any more."""
    setattr(module, name, wrap(getattr(module, name)))


def serve() -> None:
    """Run the API as `python -m refpay.app` does."""
    sys.exit(run(main, service="refpay-api"))
