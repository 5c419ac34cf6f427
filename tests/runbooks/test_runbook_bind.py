"""What a page finds out on the way, and what it does that nobody takes back."""

from typing import TYPE_CHECKING

import pytest

from moneypath.prometheus import Sample
from moneypath.runbooks import Outcome, Status, render
from moneypath.runbooks.placeholders import PlaceholderUnfilled

if TYPE_CHECKING:
    from tests.runbooks.conftest import Book, Service

CONFIRM = """query: ['bad_ratio{provider="{provider}"}']\nexpect: {value: ">= 0.0144"}"""
LEARN = (CONFIRM, """query: [bad_ratio]\nexpect: {any: ">= 0.0144"}\nbind: provider""")
TITLE = ('title: "{provider} fails"', "title: One fails")
UNDO = ('undo: [provider.restore, "{provider}"]', "irreversible: What went out is out.")


async def test_a_page_learns_which_provider_it_is_about(book: "Book", service: "Service") -> None:
    """The alert names none; the query does, and the operator action is pulled for that one."""
    service.answers["bad_ratio"] = [Sample({"provider": "south"}, 0.3)]
    execution = await service.run(book.load(LEARN, TITLE), labels={})
    assert execution.status is Status.COMPLETED
    assert [call.arguments for call in service.calls] == [("south",)]


async def test_what_the_alert_says_is_not_overruled(book: "Book", service: "Service") -> None:
    """A page that can be followed for a provider is followed for that one."""
    service.answers["bad_ratio"] = [Sample({"provider": "south"}, 0.3)]
    await service.run(book.load(LEARN, TITLE))
    assert [call.arguments for call in service.calls] == [("north",)]


@pytest.mark.parametrize(
    "samples",
    [
        [Sample({"provider": "north"}, 0.3), Sample({"provider": "south"}, 0.3)],
        [Sample({"job": "x"}, 0.3)],
        [Sample({"provider": "north"}, 0.3), Sample({}, 0.3)],
    ],
    ids=["two", "none", "one and none"],
)
async def test_what_is_not_one_value_is_not_learned(
    book: "Book", service: "Service", samples: list[Sample]
) -> None:
    """Two providers, or none, is no answer: people have to look."""
    service.answers["bad_ratio"] = samples
    execution = await service.run(book.load(LEARN, TITLE), labels={})
    assert execution.status is Status.STOPPED
    assert execution.steps[-1].outcome is Outcome.UNMET
    assert "does not name one provider" in execution.reason
    assert not service.calls


async def test_a_learned_value_cannot_break_out_of_a_query(book: "Book", service: "Service") -> None:
    """It is filled in with the same care as a label of the alert, and the page fails instead of raising."""
    service.answers["bad_ratio"] = [Sample({"provider": "../x"}, 0.3)]
    execution = await service.run(book.load(LEARN, TITLE), labels={})
    assert execution.status is Status.FAILED
    assert "unsafe" in execution.reason
    assert not service.calls


async def test_an_arrow_past_the_step_that_learns_fails_the_page(book: "Book", service: "Service") -> None:
    """The operator action is not pulled for a provider that nobody named."""
    away = ('expect: {any: ">= 0.0144"}', 'expect: {any: ">= 0.9"}\notherwise: drain')
    execution = await service.run(book.load(LEARN, TITLE, away), labels={})
    assert execution.status is Status.FAILED
    assert execution.steps[-1].step == "drain"
    assert not service.calls


async def test_a_label_that_is_learned_later_is_missed_before_anything_happens(
    book: "Book", service: "Service"
) -> None:
    """Learning helps the steps below, not those above."""
    late = ("query: [harm_ratio]", "query: [harm_ratio]\nbind: provider")
    with pytest.raises(PlaceholderUnfilled, match="provider"):
        await service.run(book.load(late), labels={})
    assert not service.asked


async def test_what_stays_is_not_taken_back(book: "Book", service: "Service") -> None:
    """A refund is no routing: the operator action is pulled once, and there is nothing to undo."""
    execution = await service.run(book.load(UNDO))
    assert execution.status is Status.COMPLETED
    assert not len(execution.pending_undos)
    assert await service.undo(execution)
    assert [call.name for call in service.calls] == ["provider.drain"]


def test_the_printed_page_shows_what_is_learned_and_what_stays(book: "Book") -> None:
    """Both stand beside the step, and the page with them is sound."""
    page = render(book.load(LEARN, TITLE, UNDO))
    assert "binds provider" in page
    assert "irreversible: What went out is out." in " ".join(page.split())
    assert book.lint(LEARN, TITLE, UNDO) == []
