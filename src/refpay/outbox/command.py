"""The command for people: ask a running service to replay dead letters, and wait until it has."""

import argparse
import asyncio
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from refpay.errors import StartRefused
from refpay.settings import read_secret

_ANSWER_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25
_ANSWER_MAXIMUM_BYTES: Final = 64 * 1024
_QUEUES: Final = ("notifications", "compliance_log")
_EXAMPLE: Final = """\
example:
  python -m refpay.outbox replay --url http://127.0.0.1:8080 \\
      --token-file secrets/clients/operations_token --queue notifications --reason "constraint corrected"

The token needs the scope operations:replay. The request has one idempotency key from beginning to end, so
that a lost answer is asked for again and replays nothing twice. A message that still cannot be handled
comes back as a dead letter.
"""


@dataclass(frozen=True, slots=True)
class _Wish:
    url: str
    token: str
    reason: str
    key: str
    wait_seconds: float


def main(arguments: list[str]) -> None:
    """Run `replay`; raises StartRefused with one sentence when it was not carried out."""
    parser = argparse.ArgumentParser(prog="python -m refpay.outbox", description=__doc__)
    replay = parser.add_subparsers(dest="command", required=True).add_parser(
        "replay",
        help="move the dead letters of one queue back into it",
        description="Move the dead letters of one queue back into it, each once.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("--url", required=True, help="address of the API, as in http://127.0.0.1:8080")
    replay.add_argument("--token-file", required=True, type=Path, help="file with the operations token")
    replay.add_argument("--queue", required=True, choices=_QUEUES)
    replay.add_argument("--reason", default="replayed by hand", help="goes on the audit record")
    replay.add_argument("--wait-seconds", default=30.0, type=float, help="how long to wait for the end")
    given = parser.parse_args(arguments)
    if urlsplit(given.url).scheme not in ("http", "https") or not urlsplit(given.url).hostname:
        raise StartRefused("--url is not an HTTP address, as in http://127.0.0.1:8080")
    if not 0 <= given.wait_seconds <= 3600:
        raise StartRefused("--wait-seconds: allowed: 0 to 3600")
    file = given.token_file.absolute()
    wish = _Wish(
        url=f"{given.url.rstrip('/')}/v1/operations/dead-letters/{given.queue}/replay",
        token=read_secret(file.parent, file.name),
        reason=given.reason,
        key=f"replay-{secrets.token_urlsafe(16)}",
        wait_seconds=given.wait_seconds,
    )
    sys.stdout.write(asyncio.run(_carry_out(wish)) + "\n")


async def _carry_out(wish: _Wish) -> str:
    last = "nothing was heard"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wish.wait_seconds
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    headers = {"Authorization": f"Bearer {wish.token}", "Idempotency-Key": wish.key}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        while True:
            try:
                status, body = await _post(session, wish)
            except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
                last = f"the service does not answer ({type(problem).__name__})"
            else:
                if status == 200:
                    return _describe(body)
                if status != 202 and status < 500 and status != 429:
                    raise StartRefused(f"replay refused: {body.get('detail', status)}")
                last = f"replay {body.get('id', '')} is {body.get('state', status)}"
            if loop.time() >= deadline:
                raise StartRefused(f"not known to be done: {last}; see GET /v1/operations/dead-letters")
            await asyncio.sleep(_PAUSE_SECONDS)


async def _post(session: aiohttp.ClientSession, wish: _Wish) -> tuple[int, dict[str, Any]]:
    async with session.post(wish.url, json={"reason": wish.reason}, allow_redirects=False) as answer:
        raw = b""
        async for chunk in answer.content.iter_chunked(4096):
            raw += chunk
            if len(raw) > _ANSWER_MAXIMUM_BYTES:
                raise ValueError("an answer that is too long")
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise ValueError("an answer that is no object")  # noqa: TRY004  # one kind for every wrong answer
        return answer.status, content


def _describe(body: dict[str, Any]) -> str:
    if not body.get("changed", True):
        return f"replay {body.get('id')} was asked for before and has not begun: nothing was added to it"
    return f"replay {body.get('id')} of {body.get('queue')}: {body.get('found')} dead letters moved back"
