"""The guide's example is run as it stands there, and its contract is that of the code."""

import re
from pathlib import Path

import pytest
from tests.witnesses.conftest import OpenTeam, Shop
from tests.witnesses.teams import Team

from moneypath.witnesses.columns import columns_of
from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.vocabulary import AccountRole, Kind, Role, Shape, Sign, Unit

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "audit-your-ledger.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = dict(
    re.findall(r"```\w+\n(?:--|#) (\S+)\n(.*?)```", TEXT, re.DOTALL),
)
UNTIL = ("--until", "2026-03-02T00:00:00Z")


@pytest.fixture
def example(open_team: OpenTeam) -> Shop:
    """Return the team of the guide."""
    queries = {"wallet": BLOCKS["sql/wallet.sql"], "book": "", "charges": BLOCKS["sql/charges.sql"]}
    schema = BLOCKS["tables.sql"]
    shop = open_team(Team("export", schema, lambda _: {}, queries, "", {}))
    shop.file.write_text(BLOCKS["witnesses.yaml"], encoding="utf-8")
    (shop.folder / "answers.jsonl").write_text(block("json"), encoding="utf-8")
    return shop


def block(language: str) -> str:
    """Return the first block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_whole_and_says_what_the_guide_says(example: Shop) -> None:
    """Word for word; what it cannot know follows."""
    done = example.audit(*UNTIL)
    assert done.code == 0
    said = done.output.split("  cannot know: ")
    assert said[0] == block("text")
    assert len(said) > 3


def test_the_example_finds_a_sale_that_was_moved(example: Shop) -> None:
    """The twin: the bakery's money goes elsewhere."""
    example.execute("UPDATE wallet SET destination = '@merchant-thief'")
    done = example.audit(*UNTIL)
    assert done.code == 1
    assert "beneficiary_differs: order-1: ledger entry t1 (capture) is booked for thief, " in done.output


def test_the_contract_names_every_word() -> None:
    """Columns, shapes, signs, units, kinds and accounts; a word that is missing is one that nobody finds."""
    contract = TEXT.split("## The contract")[1]
    named = set(re.findall(r"`(\w+)`", contract))
    words = {*Shape, *Sign, *Unit, *Kind, *AccountRole}
    for role in Role:
        for shape in Shape if role is Role.LEDGER else (None,):
            witness = Witness.model_construct(role=role, shape=shape)
            words |= set(columns_of(witness).all)
    assert {str(word) for word in words} - named == set()
