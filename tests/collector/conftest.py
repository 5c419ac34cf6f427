"""The collector's configuration as text, and its redaction as the processor works."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

Mask = Callable[[str], str]


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    """Return collector/config.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "collector/config.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="session")
def patterns(config: dict[str, Any]) -> Callable[[str], list[re.Pattern[str]]]:
    """Return what compiles one list of the redaction processor; `$$` is the collector's way to write `$`."""
    return lambda key: [
        re.compile(each.replace("$$", "$"), re.ASCII) for each in config["processors"]["redaction"][key]
    ]


@pytest.fixture(scope="session")
def mask(patterns: Callable[[str], list[re.Pattern[str]]]) -> Mask:
    """Mask a value as the processor does: each match by four asterisks, the patterns in any order."""
    allowed, blocked = patterns("allowed_values"), patterns("blocked_values")
    shuffle = random.Random(20261122)  # noqa: S311  # an order, not a secret

    def masked(value: str) -> str:
        if any(pattern.search(value) for pattern in allowed):
            return value
        for pattern in shuffle.sample(blocked, len(blocked)):
            value = pattern.sub("****", value)
        return value

    return masked
