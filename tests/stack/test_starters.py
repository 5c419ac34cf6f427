"""A starter is found by its entry point, and what prevents that is one sentence."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from moneypath.stack import starters
from moneypath.stack.errors import StarterUnavailable
from moneypath.stack.starters import GROUP, Announce, Build, LiveStack, LiveStackSettings, find_starter
from refstack.live_stack import REFERENCE


class ShopStarter:
    """A starter of somebody else; it is asked for and never run here."""

    build = Build(api="shop.app", worker="shop.worker")
    build_servers = ("shop",)

    def running(
        self, settings: LiveStackSettings, announce: Announce
    ) -> AbstractAsyncContextManager[LiveStack]:
        """Start nothing."""
        raise NotImplementedError


class Unfinished:
    """Lacks what a starter has."""

    build = ShopStarter.build


SHOP = ShopStarter()
UNFINISHED = Unfinished()
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what replaces the installed entry points."""

    def replace(**values: str) -> None:
        found = EntryPoints(EntryPoint(name, value, GROUP) for name, value in values.items())
        monkeypatch.setattr(starters, "entry_points", lambda *, group: found.select(group=group))

    return replace


HERE = f"{__name__}:SHOP"
REFERENCE_POINT = "refstack.live_stack:REFERENCE"


def test_the_reference_stack_is_the_only_one_installed() -> None:
    """By its own entry point, as the starter of any other package would be."""
    assert find_starter() is REFERENCE
    assert find_starter("reference") is REFERENCE


def test_one_of_several_is_chosen_by_name(install: Install) -> None:
    """The others are not loaded: they may be broken."""
    install(reference=REFERENCE_POINT, broken="no_such_module:STARTER")
    assert find_starter("reference") is REFERENCE


@pytest.mark.parametrize(
    ("installed", "name", "what", "hint"),
    [
        ({}, None, "No starter of a stack is installed", "Install the package"),
        ({}, "shop", "No starter of that name is installed: shop.", "Installed in moneypath.stacks: none."),
        ({"a": HERE}, "shop", "No starter of that name is installed: shop.", "moneypath.stacks: a."),
        ({"b": HERE, "a": HERE}, None, "Several starters of a stack are installed: a, b.", "--starter"),
        ({"a": "no_such_module:X"}, None, "a cannot be loaded: ModuleNotFoundError", "no_such_module needs"),
        ({"a": "refstack.live_stack:NOTHING"}, "a", "a cannot be loaded: AttributeError", "refstack"),
        ({"a": "refstack.live_stack:API"}, None, "a is none: refstack.live_stack:API lacks", "docs/guides/"),
    ],
)
def test_what_prevents_a_choice_is_a_sentence(
    install: Install, installed: dict[str, str], name: str | None, what: str, hint: str
) -> None:
    """With the exit code of bad input: 1 would be a failed build."""
    install(**installed)
    with pytest.raises(StarterUnavailable) as unavailable:
        find_starter(name)
    assert what in unavailable.value.what
    assert hint in unavailable.value.hint
    assert (unavailable.value.code, unavailable.value.exit_code) == ("starter_unavailable", 2)
    assert "\n" not in unavailable.value.what


def test_a_class_with_all_that_a_starter_has_is_one_and_another_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing has to be imported from the platform to be a starter."""
    assert isinstance(SHOP, starters.Starter)
    assert not isinstance(UNFINISHED, starters.Starter)
