"""A witness file with a mistake is refused with file, line, key and what is allowed."""

import pytest
from tests.witnesses.conftest import OpenTeam
from tests.witnesses.teams import WALLETS

MISTAKES = {
    "no currencies": ("currencies: {EUR: 2, KWD: 3, ETH: 18}\n", "", "currencies: missing key"),
    "a currency of no exponent": (
        "EUR: 2",
        "EUR: 99",
        "currencies.EUR: 99: should be less than or equal to 30",
    ),
    "an unknown key": (
        "    shape: two_sided",
        "    shap: two_sided",
        '"shap" is an unknown key, did you mean',
    ),
    "an unknown shape": ("shape: two_sided", "shape: triangular", 'shape: "triangular"'),
    "no shape": ("    shape: two_sided\n", "", "a ledger needs a shape; allowed: shape: lines or two_sided"),
    "an unknown kind": ("other: [treasury]", "gift: [treasury]", "gift"),
    "a kind of another role": (
        "other: [treasury]",
        "authorize: [treasury]",
        "role ledger has no authorize; allowed:",
    ),
    "a word twice": (
        "other: [treasury]",
        "other: [capture]",
        '"capture" is capture already; allowed: each word once',
    ),
    "a sign of another shape": ("sign: unsigned", "sign: by_kind", "by_kind does not fit; allowed: unsigned"),
    "a broken pattern": (
        "'^@treasury-'",
        "'^@treasury-('",
        "is no regular expression that RE2 reads; allowed:",
    ),
    "a pattern that looks back": ("'^@treasury-'", "'(a)\\1'", "is no regular expression that RE2 reads"),
    "a group of another role": (
        "'^@treasury-'",
        "'^@(?P<provider>x)'",
        "has the group provider; allowed: an RE2",
    ),
    "no payable account": (
        "      payable: '^@merchant-(?P<beneficiary>\\w+)-'\n",
        "",
        "no payable account; allowed:",
    ),
    "two sources": (
        "    sql: sql/ledger.sql",
        "    sql: sql/ledger.sql\n    file: x",
        "has no one source; allowed: either",
    ),
    "an address without a query": ("    sql: sql/ledger.sql\n", "", "wallet_rows has no one source"),
    "a duration without a unit": (
        "settle: 1m",
        "settle: 60",
        "is not a duration; allowed: a whole number and ms",
    ),
    "a witness of another role": (
        "ledger: wallet_rows",
        "ledger: client_log",
        "is no witness of role ledger; allowed: wallet_rows",
    ),
    "a witness that is not there": (
        "books: [provider_book]",
        "books: [booc]",
        '"booc" is no witness of role book',
    ),
    "one witness alone": (
        "ledger: wallet_rows, books: [provider_book], ",
        "",
        "all compares nothing; allowed: two of",
    ),
    "an id twice": ("id: provider_book", "id: client_log", '"client_log" stands twice'),
    "an unknown status": (
        "moved: [ok]",
        "gone: [ok]",
        "gone is no word of this role; allowed: moved, refused, pending",
    ),
    "a status word twice": ('refused: ["no"]', "refused: [ok]", '"ok" stands twice'),
    "an alias": ("settle: 1m", "settle: *m", "an alias is not allowed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(open_team: OpenTeam, mistake: str) -> None:
    """The command ends with 2 and reads nothing."""
    old, new, said = MISTAKES[mistake]
    shop = open_team(WALLETS)
    shop.edit(old, new)
    done = shop.audit()
    assert (done.code, said in done.output) == (2, True), done.output
    assert f"{shop.file}:" in done.output
    assert any(word in done.output for word in ("allowed: ", "alias", "should be less than"))


def test_keys_of_other_roles_are_refused(open_team: OpenTeam) -> None:
    """A book has no shape and no accounts, and answers have no statuses."""
    shop = open_team(WALLETS)
    shop.edit("    role: book", "    role: book\n    shape: lines\n    accounts: {other: x}")
    shop.edit("    role: answers", "    role: answers\n    statuses: {moved: [x]}")
    said = shop.audit().output
    assert "a witness of role book has no shape" in said
    assert "a witness of role book has no accounts" in said
    assert "moved is no word of this role; allowed: none" in said


def test_a_single_shape_has_no_accounts(open_team: OpenTeam) -> None:
    """Its rows name none."""
    shop = open_team(WALLETS)
    shop.edit("shape: two_sided", "shape: single")
    assert "rows of shape single have no accounts" in shop.audit().output


OPTIONS = {
    ("--since", "yesterday"): "--since: not a time: yesterday",
    ("--since", "2026-03-01T00:00:00"): "with an offset",
    ("--until", "nan"): "--until: not a time: nan",
    ("--since", "2026-03-02T00:00:00Z", "--until", "2026-03-01T00:00:00Z"): "--since is not before",
    ("--only", "nobody"): "no reconciliation is named nobody",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_are_none_are_refused(open_team: OpenTeam, options: tuple[str, ...]) -> None:
    """With what is allowed."""
    done = open_team(WALLETS).audit(*options)
    assert (done.code, OPTIONS[options] in done.output) == (2, True), done.output


def test_a_file_that_is_missing_is_said(open_team: OpenTeam) -> None:
    """And so is a query that is missing."""
    shop = open_team(WALLETS)
    (shop.folder / "sql" / "ledger.sql").unlink()
    assert (shop.audit().code, "ledger.sql:1: does not exist" in shop.audit().output) == (2, True)
    shop.file.unlink()
    assert (shop.audit().code, "does not exist" in shop.audit().output) == (2, True)


def test_the_checks_of_a_team_may_stand_in_the_same_file(open_team: OpenTeam) -> None:
    """This command leaves them to whoever runs them."""
    shop = open_team(WALLETS)
    shop.file.write_text(
        shop.file.read_text() + "checks:\n  - {id: zero_sum, witness: wallet_rows, sql: z.sql}\n"
    )
    assert shop.audit().code == 0
