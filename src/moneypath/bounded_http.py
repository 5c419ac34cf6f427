"""Reads an HTTP answer without trusting its length."""

import aiohttp

_CHUNK_BYTES = 64 * 1024


class AnswerTooLarge(ValueError):
    """An answer of more bytes than were allowed."""


async def read_bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body; raise AnswerTooLarge as soon as it passes `limit` bytes."""
    content = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise AnswerTooLarge(f"more than {limit} bytes")
    return bytes(content)
