"""What `moneypath init` is told is held to the rules of the files that it goes into."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from moneypath.path.extension import OPERATIONS
from moneypath.workflows.scaffold.answers import InitRefused, LedgerKind, service_of
from moneypath.workflows.scaffold.writing import init_project

from .fresh_project import TODAY, answers_of, init

BAD: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "name": ({"name": "two\nlines"}, "--name: 'two\\nlines' cannot be used; allowed: one line"),
    "empty name": ({"name": " "}, "--name: ' ' cannot be used"),
    "long name": ({"name": "n" * 101}, "one line of text without braces, at most 100 characters"),
    "braces": ({"name": "{{ $labels }}"}, "one line of text without braces"),
    "invisible": ({"name": "a\x00b"}, "one line of readable text"),
    "half a character": ({"name": "a\udcffb"}, "one line of readable text"),
    "service": ({"service": "Wallet API"}, "--service: 'Wallet API' cannot be used; allowed: lower-case"),
    "path as service": ({"service": "../wallet"}, "--service: '../wallet' cannot be used"),
    "environment": ({"environment": ""}, "--environment: '' cannot be used"),
    "job": ({"job": "a_b"}, "--job: 'a_b' cannot be used"),
    "prefix": ({"prefix": "acme"}, "--prefix: 'acme' cannot be used; allowed: a word in CamelCase"),
    "url": ({"url": "wallet:8000"}, "--url: 'wallet:8000' cannot be used; allowed: an address"),
    "url with a password": ({"url": "http://a:b@c/"}, "--url: "),
    "url with a placeholder": ({"url": "http://{a}"}, "--url: 'http://{a}' cannot be used"),
    "provider": ({"providers": ["bank-one"]}, "--provider: 'bank-one' cannot be used; allowed: lower-case"),
    "no provider": ({"providers": ["none"]}, "--provider: none stands for payments that no provider"),
    "provider twice": ({"providers": ["a", "a=A"]}, "--provider: a stands twice; allowed: each once."),
    "many providers": ({"providers": [f"p{n}" for n in range(21)]}, "21 are given; allowed: at most 20"),
    "title of a provider": ({"providers": ["a="]}, "--provider: '' cannot be used; allowed: one line"),
    "operation": ({"operations": ["Top up"]}, "--operation: 'Top up' cannot be used"),
    "long operation": ({"operations": ["o" * 41]}, "is too long; allowed: at most 40 characters"),
    "operation twice": ({"operations": ["a", "a"]}, "--operation: a stands twice"),
    "five own operations": ({"operations": ["a", "b", "c", "d", "e"]}, "more than 4 are your own"),
    "operations of one name": ({"operations": ["a_1", "a1"]}, "a1 and a_1 would have alerts of one name"),
    "an operation and a noun": (
        {"operations": ["authorize", "authorization"]}, "authorization and authorize would have",
    ),
    "an operation and a latency": (
        {"operations": ["top_up", "top_up_latency"]}, "top_up_latency and top_up would have",
    ),
    "currency": ({"currencies": ["eur"]}, "--currency: 'eur' cannot be used; allowed: three capital letters"),
    "decimals": ({"currencies": ["EUR=x"]}, "--currency: 'EUR=x' cannot be used; allowed: the decimals"),
    "many decimals": ({"currencies": ["EUR=99"]}, "'EUR=99' cannot be used; allowed: the decimals"),
    "currency twice": ({"currencies": ["EUR", "EUR=2"]}, "--currency: EUR stands twice"),
    "role": ({"roles": ["On Call"]}, "--role: 'On Call' cannot be used; allowed: lower-case words joined by"),
    "role twice": ({"roles": ["eng", "eng"]}, "--role: eng stands twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_flag_gives_a_sentence(name: str) -> None:
    """It names the flag, what was given, and what is allowed."""
    flags, words = BAD[name]
    with pytest.raises(InitRefused) as caught:
        answers_of(flags)
    assert words in caught.value.what
    assert caught.value.what.endswith(".")
    assert "\n" not in caught.value.what
    assert caught.value.exit_code == 2


def test_what_is_not_sound_is_not_written(tmp_path: Path) -> None:
    """Whatever the rules above let through: all files are checked before the first one is written."""
    answers = replace(answers_of({}), prefix="lower")
    with pytest.raises(InitRefused, match=r"^These flags together make no sound project: ") as caught:
        init_project(tmp_path / "shop", answers, today=TODAY)
    assert "moneypath.yaml:" in caught.value.what
    assert "moneypath-init-" not in caught.value.what
    assert not (tmp_path / "shop").exists()


@pytest.mark.heavy
def test_the_most_of_everything_is_still_a_project(tmp_path: Path) -> None:
    """The bounds of the flags lie within those of the declaration, the drill and the page of a runbook."""
    currencies = [f"A{a}{b}" for a in "ABCDE" for b in "ABCDEFGH"]
    roles = [f"role-{n}={'t' * 100}" for n in range(20)]
    own = [letter * 40 for letter in "abcd"]
    fresh = init(
        tmp_path / "shop",
        providers=[f"{'p' * 57}_{n}={'t' * 100}" for n in range(20)],
        currencies=currencies,
        roles=roles,
        operations=[*own, *OPERATIONS],
        prefix="P" * 30,
        name="n" * 100,
        ledger=LedgerKind.POSTGRESQL,
    )
    assert len([name for name in fresh.written if name.startswith("runbooks/")]) == 11


@pytest.mark.parametrize(
    ("folder", "service"),
    [
        ("Wallet API", "wallet-api"),
        ("x" * 80, "x" * 60),
        ("42", "payments"),
        ("", "payments"),
        ("Ä", "payments"),
    ],
)
def test_a_service_is_called_as_its_folder(folder: str, service: str) -> None:
    """Or by a general name, where a folder's is no id."""
    assert service_of(folder) == service
    assert answers_of({}, folder).service == service
    assert answers_of({}, folder).job == service


def test_decimals_are_those_of_the_currency() -> None:
    """Of ISO 4217, unless they are given."""
    assert answers_of({"currencies": ["JPY", "KWD", "EUR", "USD=0"]}).currencies == (
        ("JPY", 0), ("KWD", 3), ("EUR", 2), ("USD", 0),
    )  # fmt: skip
