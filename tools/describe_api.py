"""Write docs/api.md, the endpoints and problem codes of refpay, from their declarations; --check compares."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from refpay.app.contract import Auth, BoundEndpoint, Waived
from refpay.app.main import ENDPOINTS, answered

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
_HEAD = """\
# refpay's API

<!-- Written by `make generate` from the declarations in src/refpay/app; do not edit. -->

`GET /v1/openapi.json` is the whole description: bodies, answers, headers, and for each endpoint `x-contract`
with its auth model, scopes, idempotency and audit records. A path keeps its meaning within `/v1`. A refusal
is an `application/problem+json` (RFC 9457); `code` is stable, `detail` is for people. The column "the same
request again" says whether a client may repeat the request.
Lists are paged: pass `next` of one page as the `cursor` of the next request.
"""


def render() -> str:
    """Return the page as Markdown."""
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


def _served(changing: bool) -> Iterator[BoundEndpoint]:
    return (one for one in ENDPOINTS if one.endpoint.changes_state is changing)


def _change(one: BoundEndpoint) -> tuple[str, ...]:
    endpoint = one.endpoint
    return (
        _method_and_path(one),
        _said(endpoint.scopes),
        _said(endpoint.idempotency),
        _said(endpoint.audit),
        _own(one),
    )


def _reading(one: BoundEndpoint) -> tuple[str, ...]:
    text = (one.handle.__doc__ or "").splitlines()[0]
    return (_method_and_path(one), _said(one.endpoint.scopes), text, _own(one))


def _method_and_path(one: BoundEndpoint) -> str:
    auth = "" if one.endpoint.auth is Auth.BEARER else f" ({one.endpoint.auth})"
    return f"`{one.endpoint.method} {one.endpoint.path}`{auth}"


def _own(one: BoundEndpoint) -> str:
    return ", ".join(f"`{code}`" for code in sorted({problem.code for problem in one.endpoint.problems}))


def _said(part: tuple[str, ...] | str | Waived) -> str:
    if isinstance(part, Waived):
        return f"none: {part.reason}"
    return ", ".join(f"`{one}`" for one in part) if isinstance(part, tuple) else part


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(row)} |"


def main() -> int:
    """Write the page, or report that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is stale")
    text = render()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{PAGE}: The page is stale. Run `make generate`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
