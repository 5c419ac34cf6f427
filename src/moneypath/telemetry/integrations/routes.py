"""Path templates: the closed set that a request's path is brought down to before it is a label."""

import re
from collections.abc import Iterable

from moneypath.telemetry.catalogue.vocabulary import OTHER
from moneypath.telemetry.errors import TelemetryError

ROUTES_LIMIT = 200
PATH_LENGTH_LIMIT = 2048

_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(:path)?(?::[a-z]+)?\}")
_Candidates = tuple[tuple[re.Pattern[str], str], ...]


class Routes:
    """Find the template of a request's path."""

    __slots__ = ("_ending", "_fixed", "_pattern", "_patterns", "templates")

    def __init__(self, templates: Iterable[str]) -> None:
        self.templates = tuple(dict.fromkeys(templates))
        if len(self.templates) > ROUTES_LIMIT:
            raise TelemetryError(
                f"routes: {len(self.templates)} are more than {ROUTES_LIMIT}",
                hint="name those that matter; every other path is counted as `other`",
            )
        for template in self.templates:
            if not template.startswith("/"):
                raise TelemetryError(f"route {template!r}: has to begin with /")
        self._fixed = frozenset(template for template in self.templates if "{" not in template)
        self._patterns = tuple(
            (re.compile(pattern(template), re.DOTALL), template) for template in self.templates
        )
        # One expression over all: the number of the group that took part is the number of the template.
        self._pattern = re.compile(
            "|".join(f"({pattern(each)})" for each in self.templates) or "(?!)", re.DOTALL
        )
        self._ending: dict[str, _Candidates] = {}

    def find(self, path: str, matched: object = None) -> str:
        """Return the template of a path, `other` if none fits.

        `matched` is what the framework says it matched. It may lack the prefix under which a router was
        included, so it chooses among the templates that end in it; without it the first that fits is taken.
        """
        if path in self._fixed:
            return path
        if len(path) > PATH_LENGTH_LIMIT:
            return OTHER
        if isinstance(matched, str):
            for expression, template in self._ending.get(matched) or self._remember(matched):
                if expression.fullmatch(path):
                    return template
        found = self._pattern.fullmatch(path)
        return OTHER if found is None or found.lastindex is None else self.templates[found.lastindex - 1]

    def _remember(self, matched: str) -> _Candidates:
        candidates = tuple(each for each in self._patterns if each[1].endswith(matched))
        if len(self._ending) < ROUTES_LIMIT:
            self._ending[matched] = candidates
        return candidates


def pattern(template: str) -> str:
    """Return the expression, without groups, that a template's paths match."""
    parts: list[str] = []
    end = 0
    for parameter in _PARAMETER.finditer(template):
        parts += [re.escape(template[end : parameter.start()]), ".*" if parameter.group(1) else "[^/]+"]
        end = parameter.end()
    return "".join([*parts, re.escape(template[end:])])
