"""Write label matchers as PromQL."""

from moneypath.path.selection import LabelMatcher


def selector(select: tuple[LabelMatcher, ...], *more: str) -> str:
    """Return `select` between braces, or nothing when it selects everything."""
    matchers = [one_of(match.label, match.values) for match in select]
    inside = ", ".join((*matchers, *more))
    return f"{{{inside}}}" if inside else ""


def one_of(label: str, values: tuple[str, ...]) -> str:
    """Return the matcher for any of `values`."""
    return f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{"|".join(values)}"'
