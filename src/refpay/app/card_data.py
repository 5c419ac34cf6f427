"""Find card numbers in requests, so that the service never stores or logs one."""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.types import Scope

from moneypath.telemetry.redaction import IdForms, holds_card
from refpay.app.errors import CardDataRefused, CardPlace

# The random part of a token is hexadecimal. Where it is all digits it is looked at like any other text.
_TOKEN: Final = re.compile(r"tok_[0-9]{6}_(?=[0-9]*[a-f])[0-9a-f]{4,64}")
_NO_FORMS: Final = IdForms()
# One span id in 37,000 looks like a card number, so a well-formed traceparent is skipped.
_is_traceparent: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def refuse_card_data_around(scope: Scope, forms: IdForms = _NO_FORMS) -> None:
    """Raise CardDataRefused if a request's path, query or headers contain a card number.

    An idempotency key of a declared form is excused from what its digits make by chance.

    Header names are checked too, and escapes are decoded first. The error does not quote what was found.
    """
    if contains_card_number(scope["path"]):
        raise CardDataRefused("The path contains a card number.", CardPlace.PATH)
    query = scope["query_string"]
    if query and any(map(contains_card_number, map(unquote_plus, _texts(query)))):
        raise CardDataRefused("The query contains a card number.", CardPlace.QUERY)
    for name, value in scope["headers"]:
        if name == b"traceparent" and _is_traceparent(value):
            continue
        if name == b"idempotency-key" and forms.cover(value.decode("latin-1")):
            continue
        if any(map(contains_card_number, (*_texts(name), *_texts(value)))):
            raise CardDataRefused("A header contains a card number.", CardPlace.HEADER)


def refuse_card_data(value: Any, where: str = "body", forms: IdForms = _NO_FORMS) -> None:
    """Raise CardDataRefused, naming the place, if a text or key of a JSON value contains a card number.

    A text that is wholly an id of a declared form is excused from what its digits make by chance.
    """
    if isinstance(value, str):
        if contains_card_number(value) and not forms.cover(value):
            raise CardDataRefused(f"A value contains a card number: {where}.")
    elif isinstance(value, dict):
        for key, item in value.items():
            if contains_card_number(key):
                raise CardDataRefused(f"A key contains a card number, in: {where}.")
            refuse_card_data(item, f"{where}.{key[:64]}", forms)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_card_data(item, f"{where}[{index}]", forms)


def contains_card_number(text: str) -> bool:
    """Return whether the text holds a card number in any writing that is masked where a text leaves."""
    return not _TOKEN.fullmatch(text) and holds_card(text)


def _texts(content: bytes) -> Iterator[str]:
    """Yield what bytes mean as UTF-8, and as Latin-1 where that is something else."""
    yield content.decode("latin-1")
    if not content.isascii():
        yield content.decode(errors="replace")
