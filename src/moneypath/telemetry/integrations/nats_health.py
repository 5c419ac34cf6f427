"""Recognise from the health of NATS why it does not take messages.

A stream whose file could not be written stays closed until the server starts again, even if the disk has
space by then: the server neither acknowledges nor refuses what is published to it. Its health says why.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from moneypath.telemetry.catalogue.vocabulary import WriteRefusal

# Without `details` the page names only the first error.
HEALTH_PAGE: Final = "/healthz?details=true"
HEALTH_STATUSES: Final = (200, 503)
_WRITE_ERROR: Final = " write error: "
_NO_SPACE: Final = re.compile(r"no space left on device|disk quota exceeded")
_NOT_ENABLED: Final = re.compile(r"jetstream (?:is )?not enabled", re.IGNORECASE)
_WORDS_MAXIMUM: Final = 500


def find_refusals(health: Mapping[str, object]) -> Mapping[WriteRefusal, str]:
    """Return why the server takes no messages, each cause with the server's own words.

    `health` is the JSON object of HEALTH_PAGE. Other errors, such as a file that a killed start left behind,
    do not keep the server from writing and are left out.
    """
    causes = ((_name(words), words[:_WORDS_MAXIMUM]) for words in _words(health))
    return {cause: words for cause, words in causes if cause is not None}


def _words(health: Mapping[str, object]) -> Iterator[str]:
    errors = health.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict) and isinstance(words := error.get("error"), str):
            yield words


def _name(words: str) -> WriteRefusal | None:
    if _WRITE_ERROR in words:
        return WriteRefusal.DISK_FULL if _NO_SPACE.search(words) else WriteRefusal.WRITE_FAILED
    return WriteRefusal.DISABLED if _NOT_ENABLED.search(words) else None
