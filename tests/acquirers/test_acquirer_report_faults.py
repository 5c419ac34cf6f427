"""Report faults change what is served, never the book; when they end the true report is back."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acquirers.conftest import Acquirer, Client, Start, Statement

    Read = Callable[[str, bytes], Statement]

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
FIRST = 176_722_560


async def begin(start: "Start", dialect: str) -> "Acquirer":
    """Start an acquirer whose first report has a capture in EUR, its refund, and a capture in JPY."""
    acquirer = await start(dialect)
    client = acquirer.client
    euro = await client.authorize("a", "euro", 1000)
    sold = await client.capture("c", euro.id, "euro", 1000)
    await client.refund("r", sold.id, "euro", 400)
    yen = await client.authorize("b", "yen", 500, "JPY", "550000")
    await client.capture("d", yen.id, "yen", 500, "JPY")
    acquirer.wall.seconds += 11
    return acquirer


async def serve(client: "Client") -> tuple[str, bytes]:
    """Return the first report's digest and body, which must agree."""
    (listed,) = await client.reports("?limit=1")
    body = await client.report(FIRST)
    assert listed["digest"] == hashlib.sha256(body).hexdigest()
    return listed["digest"], body


async def hits(client: "Client") -> list[int]:
    """Return how often each active fault hit."""
    return [fault["hits"] for fault in (await client.control("GET", "/control/faults")).body["faults"]]


def short(statement: "Statement") -> list[tuple[Any, ...]]:
    """Return what can be misstated of each line."""
    return [(line["key"], line["amount"], line["currency"], line["fee"]) for line in statement.lines]


TRUE = [("c", 1000, "EUR", 24), ("r", 400, "EUR", 0), ("d", 500, "JPY", 23)]


@DIALECTS
@pytest.mark.parametrize(
    ("what", "lines", "totals"),
    [
        (
            "amount",
            [("c", 900, "EUR", 24), ("r", 360, "EUR", 0), ("d", 450, "JPY", 23)],
            {"EUR": (2, 900, 360, 24), "JPY": (1, 450, 0, 23)},
        ),
        (
            "currency",
            [("c", 1000, "USD", 24), ("r", 400, "USD", 0), ("d", 500, "KWD", 23)],
            {"USD": (2, 1000, 400, 24), "KWD": (1, 500, 0, 23)},
        ),
        (
            "fee",
            [("c", 1000, "EUR", 35), ("r", 400, "EUR", 5), ("d", 500, "JPY", 29)],
            {"EUR": (2, 1000, 400, 40), "JPY": (1, 500, 0, 29)},
        ),
        ("missing", [], {}),
        (
            "duplicate",
            [line for line in TRUE for _ in range(2)],
            {"EUR": (4, 2000, 800, 48), "JPY": (2, 1000, 0, 46)},
        ),
    ],
)
async def test_misstate_is_wrong_until_it_ends(
    start: "Start", read: "Read", dialect: str, what: str, lines: Any, totals: Any
) -> None:
    """The report is well-formed and agrees with itself, but not with the book; its end corrects it."""
    acquirer = await begin(start, dialect)
    client = acquirer.client
    right, rows = await serve(client), await client.truth()
    assert short(read(dialect, right[1])) == TRUE
    assert (await client.fault("misstate", what=what, lease_seconds=10)).status == 201
    wrong = await serve(client)
    assert wrong[0] != right[0]
    statement = read(dialect, wrong[1])
    assert (short(statement), statement.totals) == (lines, totals)
    assert await serve(client) == wrong
    assert await hits(client) == [2]
    assert await client.truth() == rows
    acquirer.clock.seconds += 10
    assert await serve(client) == right


@DIALECTS
@pytest.mark.parametrize(
    ("scope", "changed"),
    [
        ({"currencies": ["JPY"]}, ["d"]),
        ({"card_ranges": ["411111"]}, ["c", "r"]),
        ({"operations": ["authorize", "refund"]}, ["r"]),
        ({"currencies": ["KWD"]}, []),
    ],
)
async def test_misstate_keeps_to_its_scope(
    start: "Start", read: "Read", dialect: str, scope: dict[str, Any], changed: list[str]
) -> None:
    """Currency, range and operation narrow it; a report without a wrong line is no hit."""
    client = (await begin(start, dialect)).client
    right = await serve(client)
    await client.fault("misstate", what="amount", scope=scope)
    digest, body = await serve(client)
    lines = short(read(dialect, body))
    assert [line[0] for line, true in zip(lines, TRUE, strict=True) if line != true] == changed
    assert (digest == right[0]) is (not changed)
    assert await hits(client) == [1 if changed else 0]


async def test_misstate_hits_references_by_its_rate(start: "Start", read: "Read") -> None:
    """A part of the references is hit, the same at every reading, and the seed decides which."""
    acquirer = await start("north")
    client = acquirer.client
    for number in range(40):
        authorized = await client.authorize(f"a{number}", f"order-{number}")
        await client.capture(f"c{number}", authorized.id, f"order-{number}")
    acquirer.wall.seconds += 11
    missing = []
    for seed in (1, 2):
        added = await client.fault("misstate", rate=0.5, what="missing", seed=seed)
        digest, body = await serve(client)
        assert (await serve(client))[0] == digest
        missing.append({f"c{n}" for n in range(40)} - {line["key"] for line in read("north", body).lines})
        await client.control("DELETE", f"/control/faults/{added.body['id']}")
    assert all(8 <= len(keys) <= 32 for keys in missing)
    assert missing[0] != missing[1]


@DIALECTS
async def test_the_first_of_two_misstatements_wins(start: "Start", read: "Read", dialect: str) -> None:
    """A line is misstated once; the second fault hits only what the first one spares."""
    client = (await begin(start, dialect)).client
    await client.fault("misstate", what="fee", scope={"currencies": ["EUR"]})
    await client.fault("misstate", what="missing")
    _, body = await serve(client)
    assert short(read(dialect, body)) == [("c", 1000, "EUR", 35), ("r", 400, "EUR", 5)]
    assert await hits(client) == [1, 1]


@DIALECTS
async def test_withhold_keeps_back_what_is_new(start: "Start", dialect: str) -> None:
    """Reports due before it are served as ever, later ones neither listed nor served until its end."""
    acquirer = await begin(start, dialect)
    client = acquirer.client
    await client.fault("withhold", lease_seconds=30)  # nobody has asked for the first report yet
    before = await client.reports()
    assert [report["sequence"] for report in before] == [FIRST]
    assert await hits(client) == [0]
    acquirer.wall.seconds += 20
    assert await client.reports() == before
    assert (await client.fetch(f"{client.reports_path()}/{FIRST + 1}"))[0] == 404
    await serve(client)
    assert await hits(client) == [4]
    acquirer.clock.seconds += 30
    after = await client.reports()
    assert [report["sequence"] for report in after] == [FIRST, FIRST + 1, FIRST + 2]
    assert after[:1] == before


@DIALECTS
async def test_truncate_cuts_a_report_in_its_middle(start: "Start", read: "Read", dialect: str) -> None:
    """Half of the bytes are served, no trailer among them, and the digest is that of the half."""
    client = (await begin(start, dialect)).client
    digest, body = await serve(client)
    added = await client.fault("truncate")
    cut = await serve(client)
    assert cut[1] == body[: len(body) // 2]
    assert cut[0] != digest
    with pytest.raises((AssertionError, ValueError)):
        read(dialect, cut[1])
    assert await hits(client) == [1]
    await client.control("DELETE", f"/control/faults/{added.body['id']}")
    assert await serve(client) == (digest, body)


async def test_truncate_hits_reports_by_its_rate(start: "Start") -> None:
    """Of many reports about half are cut."""
    acquirer = await start("north")
    client = acquirer.client
    acquirer.wall.seconds += 1011
    right = {report["digest"] for report in await client.reports()}
    await client.fault("truncate", rate=0.5)
    cut = [report for report in await client.reports() if report["digest"] not in right]
    assert 30 <= len(cut) <= 70


@DIALECTS
async def test_report_faults_and_operation_faults_keep_apart(start: "Start", dialect: str) -> None:
    """A report fault hits no operation, an operation fault no report, whichever came first."""
    acquirer = await begin(start, dialect)
    client = acquirer.client
    right = await serve(client)
    await client.fault("truncate")
    await client.fault("withhold")
    await client.fault("misstate", what="missing")
    assert (await client.authorize("x")).outcome == "approved"
    assert (await client.query("c")).outcome == "captured"
    await client.fault("refuse", scope={"operations": []})
    assert (await client.authorize("y")).status == 503
    assert await hits(client) == [0, 0, 0, 1]
    listed = (await client.control("GET", "/control/faults")).body["faults"]
    assert [fault["what"] for fault in listed] == [None, None, "missing", None]
    await client.control("DELETE", "/control/faults")
    await client.fault("refuse", scope={"operations": []})
    assert await serve(client) == right
    assert await hits(client) == [0]
