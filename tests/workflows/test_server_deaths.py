"""Of a failure and the death that caused it, the user hears the death."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from moneypath.errors import MoneypathError
from moneypath.stack.errors import ServerDied
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.server_deaths import unless_server_dies


class _Watched(Supervisor):
    """Reports a death just after the work has failed, or none at all."""

    def __init__(self, death: ServerDied | None) -> None:
        super().__init__(Path())
        self._death, self.failed = death, asyncio.Event()

    async def watch(self) -> NoReturn:
        """Wait as the real one does."""
        await self.failed.wait()
        await asyncio.sleep(0.01)  # the report is under way
        while self._death is None:
            await asyncio.Event().wait()
        raise self._death


async def _fail(supervisor: _Watched) -> None:
    supervisor.failed.set()
    raise MoneypathError("pager does not answer")


@pytest.mark.parametrize(
    ("death", "words"),
    [(ServerDied("pager", -9, ()), "server died: pager"), (None, "pager does not answer")],
)
async def test_a_death_is_named_before_its_consequence(death: ServerDied | None, words: str) -> None:
    """A request to a dead server may fail before the death is reported; without a death, it is the news."""
    supervisor = _Watched(death)
    with pytest.raises(MoneypathError, match=words):
        await unless_server_dies(supervisor, _fail(supervisor))
