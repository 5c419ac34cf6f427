"""The platform knows no service: nothing in it names the reference service, its providers, or theirs."""

from pathlib import Path
from typing import Final

import pytest

from .service_words import PLATFORM, find_words, names, routes, scopes, service_words

_CANARY: Final = "The canary: where it pays is to be told by a target file."
_BOOKS: Final = "Providers' books over HTTP: where they are read is to be told by a target file."
_TOKENS: Final = "Where a client gets its tokens is to be told by a target file."
_PAGES: Final = "Pages of the service to open in a browser are to be told by a target file."

# File and word of all that still is said, with the reason. What is not said any more has to go.
ALLOWED: Final = {
    ("cli/live_view.py", "/v1/openapi.json"): _PAGES,
    ("drills/canary.py", "/v1/payments"): _CANARY,
    ("drills/canary.py", "payments:authorize"): _CANARY,
    ("drills/canary.py", "traffic:canary"): _CANARY,
    ("oracle/provider_book.py", "/truth/operations"): _BOOKS,
    ("oracle/received_requests.py", "/truth/requests"): _BOOKS,
    ("oracle/reports_taken.py", "/truth/reports"): _BOOKS,
    ("stack/tokens.py", "/v1/oauth/token"): _TOKENS,
}


@pytest.fixture(scope="module")
def found() -> set[tuple[str, str]]:
    """What the platform says of them."""
    return find_words(PLATFORM, service_words())


def test_the_platform_names_no_service(found: set[tuple[str, str]]) -> None:
    """Neither in code nor in words: who reads it must not need to know which service it is tried on."""
    assert sorted(found - set(ALLOWED)) == [], "say provider or service, or let a package outside tell it"


def test_every_allowance_is_needed(found: set[tuple[str, str]]) -> None:
    """One that nobody needs any more would let the word come back."""
    assert sorted(set(ALLOWED) - found) == [], "remove these allowances"


def test_the_words_are_those_of_the_sources() -> None:
    """A search for no word, or for a part of them, would find nothing."""
    assert names() == {"refpay", "refstack", "acquirer", "north", "south"}
    assert {"/v1/payments", "/v1/operations", "/v1/oauth/token", "/v1/webhooks", "/v1/audit"} <= routes()
    assert {"/control/faults", "/truth/operations", "/v1/authorizations", "/gateway/authorise"} <= routes()
    assert not {"/v1", "/gateway", "/control", "/metrics", "/readyz"} & routes()
    assert {"payments:authorize", "operations:route", "approvals:decide", "payouts:create"} <= scopes()


PLANTED: Final = {
    "string": ("a.py", 'JOB = "refpay-api"\n', "refpay"),
    "f-string": ("a.py", 'def f(x: str) -> str:\n    return f"{x} at the Acquirers"\n', "acquirer"),
    "path in an f-string": (
        "a.py",
        'def f(x: str) -> str:\n    return f"{x}/v1/payments/{x}"\n',
        "/v1/payments",
    ),
    "path with a query": ("a.py", 'P = "/control/faults?all"\n', "/control/faults"),
    "docstring": ("a.py", '"""Ask north."""\n', "north"),
    "comment": ("a.py", "X = 1  # as south does\n", "south"),
    "identifier": ("a.py", "def read_North_book() -> None: ...\n", "north"),
    "class": ("a.py", "class SouthBook: ...\n", "south"),
    "module": ("refpay.py", "", "refpay"),
    "folder": ("north/a.py", "", "north"),
    "joined strings": ("a.py", 'X = "ref" "pay"\n', "refpay"),
    "added strings": ("a.py", 'X = "/v1" + "/payments"\n', "/v1/payments"),
    "f-string of constants": ("a.py", "X = f\"nor{'th'}\"\n", "north"),
    "escaped": ("a.py", 'X = "\\x6eorth"\n', "north"),
    "scope": ("a.py", 'X = ("payments:authorize",)\n', "payments:authorize"),
    "YAML": ("rows/data.yaml", "targets:\n  - job: refpay-worker\n", "refpay"),
    "JSON": ("data.json", '{"paths": ["/gateway/authorise"]}\n', "/gateway/authorise"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_word_is_found(planted: str, tmp_path: Path) -> None:
    """Wherever a platform could hide one."""
    name, text, word = PLANTED[planted]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    assert find_words(tmp_path, service_words()) == {(name, word)}


@pytest.mark.parametrize(
    "text",
    [
        "URL = '/api/v1/query', '/v1/metrics', '/v1/payments-of-others', '/healthz', '/orders/{order_id}'",
        "RULE = 'level:payments:authorize', 'payments:authorize_again', 'payments', 'operations'",
        "WORDS = 'provider', 'service', 'notary', 'acquire', 'sought'",
    ],
)
def test_the_general_word_is_no_finding(text: str, tmp_path: Path) -> None:
    """What every platform says may be said."""
    (tmp_path / "a.py").write_text(text + "\n", encoding="utf-8")
    assert find_words(tmp_path, service_words()) == set()
