"""Read a provider's book over HTTP, page by page."""

import asyncio

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.oracle.errors import FieldInvalid, ProviderBookUnreadable
from moneypath.oracle.fields import (
    Row,
    parse_object,
    read_amount,
    read_currency,
    read_instant,
    read_integer,
    read_member,
    read_text,
)
from moneypath.oracle.records import Charge, ChargeStatus, Operation

PAGE_ROWS = 2000
PAGE_BYTES_MAX = 8 * 1024 * 1024
PAGES_MAX = 2500
_TEXT_MAX = 256


async def read_provider_book(
    url: str,
    token: str,
    *,
    timeout_seconds: float = 60.0,
    page_rows: int = PAGE_ROWS,
    pages_max: int = PAGES_MAX,
) -> tuple[Charge, ...]:
    """Read every operation of the provider at `url`, effective or not, in the order of its book.

    The time limit covers all pages. Raises ProviderBookUnreadable, which never contains the token. Part of a
    book is never returned: a missing page would look like missing captures.
    """
    endpoint = f"{url.rstrip('/')}/truth/operations"
    charges: list[Charge] = []
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(timeout_seconds), aiohttp.ClientSession(headers=headers) as session:
            after = 0
            for _ in range(pages_max):
                following = _read_page(await _fetch(session, endpoint, after, page_rows), after, charges)
                if following is None:
                    return tuple(charges)
                after = following
    except TimeoutError:
        raise ProviderBookUnreadable(
            f"{endpoint}: no whole book within {timeout_seconds:g} s ({len(charges)} rows read)",
            hint="Check that the provider runs and answers, then audit again.",
        ) from None
    except aiohttp.ClientError as error:
        raise ProviderBookUnreadable(
            f"{endpoint}: no answer: {type(error).__name__}",
            hint="Check that the provider runs at this address, then audit again.",
        ) from error
    except (AnswerTooLarge, FieldInvalid) as error:
        raise ProviderBookUnreadable(
            f"{endpoint}: {error}", hint="Check that address and control token belong to the same provider."
        ) from None
    raise ProviderBookUnreadable(
        f"{endpoint}: more than {pages_max} pages of {page_rows} rows", hint="Audit a shorter run."
    )


async def _fetch(session: aiohttp.ClientSession, endpoint: str, after: int, limit: int) -> Row:
    query = {"after": str(after), "limit": str(limit)}
    async with session.get(endpoint, params=query, allow_redirects=False) as response:
        if response.status != 200:
            raise FieldInvalid(f"answered {response.status}, needed: 200")
        return parse_object(await read_bounded(response, PAGE_BYTES_MAX))


def _read_page(page: Row, after: int, charges: list[Charge]) -> int | None:
    """Append the rows of a page and return the cursor of the next page; both must increase."""
    provider = read_text(page, "provider")
    rows = page.get("rows")
    if not isinstance(rows, list):
        raise FieldInvalid("rows: must be a list")
    last = after
    for row in rows:
        if not isinstance(row, dict):
            raise FieldInvalid("rows: must hold objects")
        charge = _read_charge(provider, row)
        if charge.seq <= last:
            raise FieldInvalid(f"rows: seq {charge.seq} follows {last}, it must grow")
        last = charge.seq
        charges.append(charge)
    if "next" in page and page["next"] is None:
        return None
    following = read_integer(page, "next", 1)
    if following < last or following <= after:
        raise FieldInvalid(f"next: {following} follows {max(last, after)}, it must grow")
    return following


def _read_charge(provider: str, row: Row) -> Charge:
    amount_minor, misstated = read_amount(row, "amount_minor")
    return Charge(
        provider=provider,
        seq=read_integer(row, "seq", 1),
        key=read_text(row, "key"),
        operation=read_member(row, "kind", Operation),
        reference=read_text(row, "reference"),
        amount_minor=amount_minor,
        currency=read_currency(row, "currency"),
        card_range=_read_optional(row, "card_range"),
        status=read_member(row, "status", ChargeStatus),
        provider_reference=_read_optional(row, "provider_reference"),
        at=read_instant(row, "at"),
        parent=_read_optional(row, "parent"),
        beneficiary=_read_optional(row, "beneficiary"),
        misstated=misstated,
    )


def _read_optional(row: Row, name: str) -> str:
    text = row.get(name)
    if text is not None and (not isinstance(text, str) or len(text) > _TEXT_MAX):
        raise FieldInvalid(f"{name}: must be null or a text of up to {_TEXT_MAX} characters")
    return text or ""
