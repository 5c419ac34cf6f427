"""Write docs/api.md, the endpoints and problem codes of refpay, from their declarations; --check compares."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from refpay.app.contract import Auth, Served, Waived
from refpay.app.main import SERVED, answered

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
_HEAD = """\
# refpay's API

<!-- Written by `make generate` from the declarations in src/refpay/app; do not edit. -->

`GET /v1/openapi.json` is the whole description: bodies, answers, headers, and for each endpoint `x-contract`
with its auth model, scopes, idempotency and audit records. A path keeps its meaning within `/v1`. What is
refused is answered as `application/problem+json` (RFC 9457); `code` is stable, `detail` is for people.
`again` says whether the same request may be sent again.
Lists are read page by page: `next` of one page is the `cursor` of the one after.
"""


def render() -> str:
    """Return the page."""
    lines = [_HEAD, "## State changes", "", *_table(_CHANGES, (_change(one) for one in _served(True)))]
    lines += ["", "## Readings", "", *_table(_READINGS, (_reading(one) for one in _served(False)))]
    rows = (
        (f"`{code}`", str(problem.status), "yes" if problem.retryable else "no", problem.title)
        for code, problem in answered().items()
    )
    lines += [
        "",
        "## Problem codes",
        "",
        *_table(("code", "status", "the same request again", "title"), rows),
    ]
    return "\n".join(lines) + "\n"


_CHANGES = ("endpoint", "scopes", "idempotency", "audit records", "own problems")
_READINGS = ("endpoint", "scopes", "what it reads", "own problems")


def _served(changing: bool) -> Iterator[Served]:
    return (one for one in SERVED if one.endpoint.changes_state is changing)


def _change(one: Served) -> tuple[str, ...]:
    endpoint = one.endpoint
    return (_door(one), _said(endpoint.scopes), _said(endpoint.idempotency), _said(endpoint.audit), _own(one))


def _reading(one: Served) -> tuple[str, ...]:
    text = (one.handle.__doc__ or "").splitlines()[0]
    return (_door(one), _said(one.endpoint.scopes), text, _own(one))


def _door(one: Served) -> str:
    auth = "" if one.endpoint.auth is Auth.BEARER else f" ({one.endpoint.auth})"
    return f"`{one.endpoint.method} {one.endpoint.path}`{auth}"


def _own(one: Served) -> str:
    return ", ".join(f"`{code}`" for code in sorted({problem.code for problem in one.endpoint.problems}))


def _said(part: tuple[str, ...] | str | Waived) -> str:
    if isinstance(part, Waived):
        return f"none: {part.reason}"
    return ", ".join(f"`{one}`" for one in part) if isinstance(part, tuple) else part


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(row)} |"


def main() -> int:
    """Write the page, or say that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is stale")
    text = render()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{PAGE}: stale, run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
