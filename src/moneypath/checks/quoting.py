"""Write names and values into SQL, so that none of them can be anything else."""

from collections.abc import Iterable, Sequence
from typing import Final

NAME_BYTES_MAX: Final = 63


def quote_identifier(name: str) -> str:
    """Return a name in double quotes, as PostgreSQL's `quote_ident` does where quotes are needed.

    Raises ValueError for what no name can be: nothing, a NUL, or more bytes than PostgreSQL keeps.
    """
    if not name or "\0" in name:
        raise ValueError("a name is not empty and holds no NUL")
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        # PostgreSQL would cut it, and then mean another column.
        raise ValueError(f"a name has at most {NAME_BYTES_MAX} bytes: {name}")
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def quote_table(parts: Sequence[str]) -> str:
    """Return a table, with its schema if it has one."""
    return ".".join(quote_identifier(part) for part in parts)


def quote_literal(value: str | int) -> str:
    """Return a value in single quotes, whose type follows from what it is compared with.

    Backslashes are themselves, because the session has standard_conforming_strings on. Raises ValueError for
    a NUL, which no text of PostgreSQL holds.
    """
    text = str(value)
    if "\0" in text:
        raise ValueError("a value holds no NUL")
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def quote_list(values: Iterable[str | int]) -> str:
    """Return values as a list in parentheses."""
    return f"({', '.join(quote_literal(value) for value in values)})"
