"""RFC 3161 time-stamps: ask an authority when something existed, and check what it answered."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.base import HashAlgorithm

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.errors import MoneypathError
from moneypath.incidents.evidence_files import sha256

ANSWER_SECONDS: Final = 20.0
MAX_ANSWER_BYTES: Final = 64 * 1024
GRANTED: Final = 0


class TimestampFailed(MoneypathError):
    """An authority that gave no time-stamp, or a token that is none."""

    code = "timestamp_failed"


async def request_timestamp(url: str, message: bytes) -> bytes:
    """Have the authority at `url` time-stamp the SHA-256 of `message`; return its answer as it came.

    The answer is held against the request; whether its signer can be trusted is for `read_timestamp` to say.
    """
    request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
    headers = {"Content-Type": "application/timestamp-query"}
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=request.as_bytes(), headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise _no_timestamp(f"status {answer.status}")
            content = await read_bounded(answer, MAX_ANSWER_BYTES)
    except (aiohttp.ClientError, TimeoutError, AnswerTooLarge, ValueError) as error:
        raise _no_timestamp(type(error).__name__) from None
    response = _decode(content)
    if response.status != GRANTED:
        raise _no_timestamp(f"refused with status {response.status}")
    if response.tst_info.nonce != request.nonce or _imprint(response) != sha256(message):
        raise _no_timestamp("the answer is to another request")
    return content


def read_timestamp(content: bytes, message: bytes, roots: Sequence[Certificate]) -> datetime:
    """Return when `message` existed, by a token whose certificate chains to one of `roots`.

    Without roots, who signed the token is not checked. Raises TimestampFailed when the token is of something
    else, or is signed by somebody else.
    """
    response = _decode(content)
    if response.status != GRANTED:
        raise TimestampFailed("the time-stamp was not granted")
    if _imprint(response) != sha256(message):
        raise TimestampFailed("the time-stamp is of something else: its imprint is not the hash of this seal")
    try:
        if roots:
            VerifierBuilder(roots=list(roots)).build().verify_message(response, message)
    except (VerificationError, ValueError) as error:
        raise TimestampFailed(f"the time-stamp is not by the given authority: {error}") from None
    return response.tst_info.gen_time.astimezone(UTC)


def load_certificates(file: Path) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file; raises TimestampFailed."""
    try:
        return tuple(load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no certificate in PEM"
        raise TimestampFailed(
            f"certificates of the time-stamping authority cannot be read: {file} ({why})",
            hint="Name the PEM file with the authority's root certificate.",
        ) from None


def _decode(content: bytes) -> TimeStampResponse:
    try:
        return decode_timestamp_response(content)
    except ValueError:
        raise TimestampFailed("the time-stamp is not in the form of RFC 3161") from None


def _imprint(response: TimeStampResponse) -> str:
    return response.tst_info.message_imprint.message.hex()


def _no_timestamp(why: str) -> TimestampFailed:
    return TimestampFailed(
        f"the time-stamping authority gave no time-stamp: {why}",
        hint="Check its URL, and seal the bundle later with `moneypath drill seal`.",
    )
