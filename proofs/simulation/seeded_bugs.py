"""Register seeded bugs, and apply their patches to the service."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """One seeded bug: its description, and its patches."""

    description: str
    make_patches: Callable[[], list[Patch]]

    def planted(self) -> AbstractContextManager[None]:
        """Apply the patches for as long as the block lasts."""
        return _patched(self.make_patches())


# Errors of a patch that no longer fits the code; they are no violation of the service.
_PROGRAMMING_ERROR: Final = re.compile(r": (?:Type|Attribute|Name|Key|Index|Import)Error: ")


def is_broken_patch(violation: str) -> bool:
    """Return whether the violation comes from a patch that no longer fits the code."""
    return _PROGRAMMING_ERROR.search(violation) is not None


@contextmanager
def _patched(patches: list[Patch]) -> Iterator[None]:
    owner, name, value = patches[0]
    with patch.object(owner, name, value):
        if patches[1:]:
            with _patched(patches[1:]):
                yield
        else:
            yield


BUGS: Final[dict[str, Bug]] = {}


def bug(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Register a bug under the name of its function; the docstring is its description."""
    BUGS[make.__name__.replace("_", "-")] = Bug((make.__doc__ or "").rstrip("."), make)
    return make


async def nothing(*_arguments: Any, **_options: Any) -> None:
    """Do nothing, in the place of a coroutine function that is left out."""
