"""The functions with which guide and examples recognise a decline survive whatever a provider answers."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from .test_guide_ten_lines import CLASSIFY

EXAMPLES = Path(__file__).parents[4] / "examples"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"status": value}).encode())
    | st.just(b'{"status": "declined"}')
)


def of_example(name: str) -> Callable[[Any], str | None]:
    """Return the function of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[Any], str | None] = module.classify
    return function


def of_guide() -> Callable[[Any], str | None]:
    """Return the function of the guide, as it is printed."""
    module: dict[str, Any] = {"httpx": httpx}
    exec(compile(CLASSIFY, "ten-lines.md", "exec"), module)  # noqa: S102 - that is the point
    function: Callable[[Any], str | None] = module["classify"]
    return function


def for_requests(status: int, body: bytes) -> requests.Response:
    """Return an answer as requests has it."""
    answer = requests.Response()
    answer.status_code = status
    answer._content = body
    return answer


@pytest.mark.parametrize("name", ["guide", "httpx_client", "requests_client"])
def test_whatever_is_answered_the_function_answers(name: str) -> None:
    """Pages, numbers, lists, null, bytes that are no text: a decline is one, and nothing else is."""
    classify = of_guide() if name == "guide" else of_example(name)
    make = (
        for_requests
        if name == "requests_client"
        else lambda status, body: httpx.Response(status, content=body)
    )

    @given(st.sampled_from([200, 201, 204, 302, 400, 429, 500, 503]), BODIES)
    def answers(status: int, body: bytes) -> None:
        is_decline = status < 300 and body == b'{"status": "declined"}'
        assert classify(make(status, body)) == ("declined" if is_decline else None)

    answers()
