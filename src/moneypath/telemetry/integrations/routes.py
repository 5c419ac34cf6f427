"""Path templates: the closed set to which a request's path is reduced before it becomes a label."""

import re
from collections.abc import Iterable

from moneypath.telemetry.catalogue.vocabulary import OTHER
from moneypath.telemetry.errors import TelemetryError

ROUTES_LIMIT = 200
PATH_LENGTH_LIMIT = 2048

_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(:path)?(?::[a-z]+)?\}")
_Candidates = tuple[tuple[re.Pattern[str], str], ...]


class Routes:
    """Finds the template of a request's path."""

    __slots__ = ("_by_suffix", "_fixed", "_pattern", "_patterns", "templates")

    def __init__(self, templates: Iterable[str]) -> None:
        self.templates = tuple(dict.fromkeys(templates))
        if len(self.templates) > ROUTES_LIMIT:
            raise TelemetryError(
                f"{len(self.templates)} routes are more than {ROUTES_LIMIT}.",
                hint="Name the routes that matter; every other path is counted as `other`.",
            )
        for template in self.templates:
            if not template.startswith("/"):
                raise TelemetryError(f"Route {template!r} does not begin with /.")
        self._fixed = frozenset(template for template in self.templates if "{" not in template)
        self._patterns = tuple(
            (re.compile(pattern(template), re.DOTALL), template) for template in self.templates
        )
        # One expression for all templates: the number of the matching group is the number of the template.
        self._pattern = re.compile(
            "|".join(f"({pattern(each)})" for each in self.templates) or "(?!)", re.DOTALL
        )
        self._by_suffix: dict[str, _Candidates] = {}

    def find(self, path: str, matched: object = None) -> str:
        """Return the template of a path, or `other`.

        `matched` is what the framework matched. It may lack the prefix of an included router, so it selects
        among the templates that end with it. Without it the first template that matches counts.
        """
        if path in self._fixed:
            return path
        if len(path) > PATH_LENGTH_LIMIT:
            return OTHER
        if isinstance(matched, str):
            for expression, template in self._by_suffix.get(matched) or self._remember(matched):
                if expression.fullmatch(path):
                    return template
        found = self._pattern.fullmatch(path)
        return OTHER if found is None or found.lastindex is None else self.templates[found.lastindex - 1]

    def _remember(self, matched: str) -> _Candidates:
        candidates = tuple(each for each in self._patterns if each[1].endswith(matched))
        if len(self._by_suffix) < ROUTES_LIMIT:
            self._by_suffix[matched] = candidates
        return candidates


def pattern(template: str) -> str:
    """Return the regular expression, without groups, for the paths of a template."""
    parts: list[str] = []
    end = 0
    for parameter in _PARAMETER.finditer(template):
        parts += [re.escape(template[end : parameter.start()]), ".*" if parameter.group(1) else "[^/]+"]
        end = parameter.end()
    return "".join([*parts, re.escape(template[end:])])
