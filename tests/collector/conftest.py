"""The collector's configuration as text, and its redaction as the processor applies it."""

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
    """Return a function that compiles one list of the redaction processor; `$$` stands for `$`."""
    return lambda key: [
        re.compile(each.replace("$$", "$"), re.ASCII) for each in config["processors"]["redaction"][key]
    ]


@pytest.fixture(scope="session")
def mask(patterns: Callable[[str], list[re.Pattern[str]]]) -> Mask:
    """Mask a value as the processor does: each match becomes four asterisks, in any order of patterns."""
    allowed, blocked = patterns("allowed_values"), patterns("blocked_values")
    shuffle = random.Random(20261122)  # noqa: S311  # an order, not a secret

    def masked(value: str) -> str:
        if any(pattern.search(value) for pattern in allowed):
            return value
        for pattern in shuffle.sample(blocked, len(blocked)):
            value = pattern.sub("****", value)
        return value

    return masked
