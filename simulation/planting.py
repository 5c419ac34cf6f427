"""How a bug is planted: what is replaced in the service for as long as it stands."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

Swap = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake: what it is, and how it is made."""

    what: str
    make: Callable[[], list[Swap]]

    def planted(self) -> AbstractContextManager[None]:
        """Make the mistake for as long as the block lasts."""
        return _swapped(self.make())


# What Python says of a patch that no longer fits the code; it breaks no promise of the service.
_MISFIT: Final = re.compile(r": (?:Type|Attribute|Name|Key|Index|Import)Error: ")


def is_misplanted(violation: str) -> bool:
    """Return whether what was found is the bug's own mistake and not the one that it is to make."""
    return _MISFIT.search(violation) is not None


@contextmanager
def _swapped(swaps: list[Swap]) -> Iterator[None]:
    owner, name, value = swaps[0]
    with patch.object(owner, name, value):
        if swaps[1:]:
            with _swapped(swaps[1:]):
                yield
        else:
            yield


BUGS: Final[dict[str, Bug]] = {}


def bug(make: Callable[[], list[Swap]]) -> Callable[[], list[Swap]]:
    """Register a bug under the name of its function; the docstring says what it is."""
    BUGS[make.__name__.replace("_", "-")] = Bug((make.__doc__ or "").rstrip("."), make)
    return make


async def nothing(*_arguments: Any, **_options: Any) -> None:
    """Take the place of what is left out."""
