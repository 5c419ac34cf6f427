"""Access tokens of the payment service: fetched with a client's secret, kept, and renewed in time."""

import asyncio
import base64
import json
import re
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode

from moneypath.errors import MoneypathError

ANSWER_SECONDS: Final = 5.0
# Of its time, after which a token is renewed: while one renews it, the others go on with the old one.
RENEWED_AFTER: Final = 0.75
_ASK_AGAIN_SECONDS: Final = 1.0
_PATH: Final = "/v1/oauth/token"
_ANSWER_BYTES_MAX: Final = 64 * 1024
_CLIENT_BYTES_MAX: Final = 1024
_CLIENT: Final = re.compile(rb"([a-z][a-z0-9_-]{0,62}):([!-~]{1,512})")
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")


class TokenUnavailable(MoneypathError):
    """There is no token: the client is refused, or nobody answers."""

    code = "token_unavailable"


class TokenSource:
    """The tokens of one client with the same scopes; for threads, greenlets and event loops.

    `client_file` holds `name:secret` and is read whenever a token is fetched, so that a rotated secret works.
    """

    def __init__(self, url: str, client_file: Path, *scopes: str) -> None:
        self._url, self._file, self._scopes = f"{url.rstrip('/')}{_PATH}", client_file, " ".join(scopes)
        self._fetching = threading.Lock()
        self._header, self._renew_at, self._ends_at = "", 0.0, 0.0

    def header(self) -> str:
        """Return the value of an Authorization header; blocks while a token is fetched.

        Raises TokenUnavailable, which holds no secret.
        """
        now = time.monotonic()
        if now < self._renew_at or not self._fetching.acquire(blocking=now >= self._ends_at):
            return self._header
        try:
            if time.monotonic() >= self._renew_at:
                self._fetch()
        except TokenUnavailable:
            # What is there still works: a service that is away for a moment is asked again in one.
            if time.monotonic() >= self._ends_at:
                raise
            self._renew_at = time.monotonic() + _ASK_AGAIN_SECONDS
        finally:
            self._fetching.release()
        return self._header

    async def header_soon(self) -> str:
        """Return the same without blocking the event loop."""
        return self._header if time.monotonic() < self._renew_at else await asyncio.to_thread(self.header)

    def forget(self, header: str) -> None:
        """Forget a header that was answered with 401: its key may be retired, and the next one is another."""
        if header == self._header:
            self._renew_at = self._ends_at = 0.0

    def _fetch(self) -> None:
        began = time.monotonic()
        content = self._ask(read_client(self._file))
        token, seconds = content.get("access_token"), content.get("expires_in")
        if (
            not isinstance(token, str)
            or not _TOKEN.fullmatch(token)
            or type(seconds) is not int
            or seconds < 1
        ):
            self._fail("is not a token")
        self._header = f"Bearer {token}"
        self._renew_at, self._ends_at = began + seconds * RENEWED_AFTER, began + seconds

    def _ask(self, credentials: str) -> dict[str, Any]:
        form = urlencode({"grant_type": "client_credentials", "scope": self._scopes}).encode()
        headers = {"Authorization": credentials, "Content-Type": "application/x-www-form-urlencoded"}
        request = urllib.request.Request(self._url, form, headers)  # noqa: S310 the address of our own stack
        try:
            with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
                content = json.loads(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                self._fail(f"is status {error.code} {_code_of(error)}".rstrip())
        except (OSError, ValueError, RecursionError) as error:
            self._fail(f"is none: {type(error).__name__}")
        return content if isinstance(content, dict) else {}

    def _fail(self, why: str) -> NoReturn:
        raise TokenUnavailable(
            f"the answer to {self._file.name} for {self._scopes or 'reading'} {why}",
            hint="is the service up, does it know the client, and may the client have these scopes?",
        ) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The secret goes to the address that was given and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


# No proxy from the environment either.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def _code_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_ANSWER_BYTES_MAX)).get("code", ""))[:60]
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def read_client(file: Path) -> str:
    """Return what HTTP Basic wants of a client's file; raises TokenUnavailable, which quotes nothing."""
    try:
        with file.open("rb") as stream:
            found = _CLIENT.fullmatch(stream.read(_CLIENT_BYTES_MAX).strip())
    except OSError as error:
        raise TokenUnavailable(
            f"the client's file cannot be read: {file.name} ({error.strerror})",
            hint="name a file that holds a client's name and secret, as in name:secret",
        ) from None
    if found is None:
        raise TokenUnavailable(
            f"the client's file holds no client: {file.name}",
            hint="it holds a client's name and secret and nothing else, as in name:secret",
        )
    pair = ":".join(quote(part.decode(), safe="") for part in found.groups())
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
