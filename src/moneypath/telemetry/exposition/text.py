"""The exposition formats, and how a scraper's Accept header chooses one."""

from dataclasses import dataclass

ACCEPT_LENGTH_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Format:
    """An exposition format and its content type."""

    openmetrics: bool
    content_type: str


TEXT = Format(openmetrics=False, content_type="text/plain; version=0.0.4; charset=utf-8")
OPENMETRICS = Format(
    openmetrics=True, content_type="application/openmetrics-text; version=1.0.0; charset=utf-8"
)


def negotiate(accept: str) -> Format:
    """Return the format that an Accept header prefers; text 0.0.4 if it names none or is malformed."""
    preference = {"text/plain": 0.0, "application/openmetrics-text": 0.0}
    for part in accept[:ACCEPT_LENGTH_LIMIT].split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        if media in preference and given.get("version", "1.0.0") in ("1.0.0", "0.0.1", "0.0.4"):
            preference[media] = max(preference[media], _quality(given.get("q", "1")))
    preferred = preference["application/openmetrics-text"]
    return OPENMETRICS if preferred > 0 and preferred >= preference["text/plain"] else TEXT


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
