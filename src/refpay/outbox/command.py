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
      --client-file secrets/clients/operations_client --queue notifications --reason "constraint corrected"

The file holds name:secret of a client with the scope operations:replay. The request has one idempotency
key from beginning to end, so that a lost answer is asked for again and replays nothing twice. A message
that still cannot be handled comes back as a dead letter.
"""


@dataclass(frozen=True, slots=True)
class _Wish:
    url: str
    path: str
    client: aiohttp.BasicAuth
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
    replay.add_argument("--client-file", required=True, type=Path, help="file with the client's name:secret")
    replay.add_argument("--queue", required=True, choices=_QUEUES)
    replay.add_argument("--reason", default="replayed by hand", help="goes on the audit record")
    replay.add_argument("--wait-seconds", default=30.0, type=float, help="how long to wait for the end")
    given = parser.parse_args(arguments)
    if urlsplit(given.url).scheme not in ("http", "https") or not urlsplit(given.url).hostname:
        raise StartRefused("--url is not an HTTP address, as in http://127.0.0.1:8080")
    if not 0 <= given.wait_seconds <= 3600:
        raise StartRefused("--wait-seconds: allowed: 0 to 3600")
    file = given.client_file.absolute()
    wish = _Wish(
        url=given.url.rstrip("/"),
        path=f"/v1/operations/dead-letters/{given.queue}/replay",
        client=_read_client(file),
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
    headers = {"Idempotency-Key": wish.key}
    async with aiohttp.ClientSession(wish.url, timeout=timeout, headers=headers) as session:
        token = ""
        while True:
            try:
                token = token or await _fetch_token(session, wish)
                status, body = await _ask_for_replay(session, wish, token)
            except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
                last = f"the service does not answer ({type(problem).__name__})"
            else:
                if status == 200:
                    return _describe(body)
                if status == 401:
                    token = ""  # it has run out while we waited, or its key is retired
                elif status != 202 and status < 500 and status != 429:
                    raise StartRefused(f"replay refused: {body.get('detail', status)}")
                last = f"replay {body.get('id', '')} is {body.get('state', status)}"
            if loop.time() >= deadline:
                raise StartRefused(f"not known to be done: {last}; see GET /v1/operations/dead-letters")
            await asyncio.sleep(_PAUSE_SECONDS)


async def _fetch_token(session: aiohttp.ClientSession, wish: _Wish) -> str:
    """Return a token; raises ValueError when there is none for the moment."""
    form = {"grant_type": "client_credentials", "scope": "operations:replay"}
    async with session.post("/v1/oauth/token", data=form, auth=wish.client, allow_redirects=False) as answer:
        body = await _read(answer)
        if 400 <= answer.status < 500 and answer.status != 429:
            raise StartRefused(f"replay refused: {body.get('detail', answer.status)}")
        if answer.status != 200 or not body.get("access_token"):
            raise ValueError("an answer without a token")
        return str(body["access_token"])


async def _ask_for_replay(
    session: aiohttp.ClientSession, wish: _Wish, token: str
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post(
        wish.path, json={"reason": wish.reason}, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status, await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    raw = b""
    async for chunk in answer.content.iter_chunked(4096):
        raw += chunk
        if len(raw) > _ANSWER_MAXIMUM_BYTES:
            raise ValueError("an answer that is too long")
    content = json.loads(raw)
    if not isinstance(content, dict):
        raise ValueError("an answer that is no object")  # noqa: TRY004  # one kind for every wrong answer
    return content


def _read_client(file: Path) -> aiohttp.BasicAuth:
    name, colon, secret = read_secret(file.parent, file.name).partition(":")
    if not colon:
        raise StartRefused(f"--client-file: needed: name:secret of a client: {file}")
    return aiohttp.BasicAuth(name, secret)


def _describe(body: dict[str, Any]) -> str:
    if not body.get("changed", True):
        return f"replay {body.get('id')} was asked for before and has not begun: nothing was added to it"
    return f"replay {body.get('id')} of {body.get('queue')}: {body.get('found')} dead letters moved back"
