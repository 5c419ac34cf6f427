"""Access tokens of the payment service: fetch them with a client's secret, cache them, and renew them in
time.
"""

import asyncio
import base64
import json
import re
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode

from moneypath.errors import MoneypathError

ANSWER_SECONDS: Final = 5.0
# Share of a token's lifetime after which it is renewed, while other callers use the old one.
RENEWED_AFTER: Final = 0.75
_ASK_AGAIN_SECONDS: Final = 1.0
_PATH: Final = "/v1/oauth/token"
_ANSWER_BYTES_MAX: Final = 64 * 1024
_CLIENT_BYTES_MAX: Final = 1024
_CLIENT: Final = re.compile(rb"([a-z][a-z0-9_-]{0,62}):([!-~]{1,512})")
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")


class TokenUnavailable(MoneypathError):
    """No token: the service refuses the client or does not answer."""

    code = "token_unavailable"


class TokenSource:
    """The tokens of one client with fixed scopes; for threads, greenlets and event loops.

    `client_file` holds `name:secret` and is read for every fetch, so that a rotated secret works. `path` is
    where the service at `url` gives tokens out.
    """

    def __init__(self, url: str, client_file: Path, *scopes: str, path: str = _PATH) -> None:
        self._url, self._file, self._scopes = f"{url.rstrip('/')}{path}", client_file, " ".join(scopes)
        self._fetching = threading.Lock()
        self._header, self._renew_at, self._ends_at = "", 0.0, 0.0

    def header(self) -> str:
        """Return the value of an Authorization header; blocks while a token is fetched.

        Raises TokenUnavailable, which contains no secret.
        """
        now = time.monotonic()
        if now < self._renew_at or not self._fetching.acquire(blocking=now >= self._ends_at):
            return self._header
        try:
            if time.monotonic() >= self._renew_at:
                self._fetch()
        except TokenUnavailable:
            # The old token is still valid, so try again later.
            if time.monotonic() >= self._ends_at:
                raise
            self._renew_at = time.monotonic() + _ASK_AGAIN_SECONDS
        finally:
            self._fetching.release()
        return self._header

    async def header_async(self) -> str:
        """Return the value of an Authorization header without blocking the event loop."""
        return self._header if time.monotonic() < self._renew_at else await asyncio.to_thread(self.header)

    def forget(self, header: str) -> None:
        """Discard a header that was answered with 401: its signing key may be retired, so fetch a new
        token.
        """
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
            self._fail("the answer is not a token")
        self._header = f"Bearer {token}"
        self._renew_at, self._ends_at = began + seconds * RENEWED_AFTER, began + seconds

    def _ask(self, credentials: str) -> dict[str, Any]:
        form = urlencode({"grant_type": "client_credentials", "scope": self._scopes}).encode()
        headers = {"Authorization": credentials, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            request = urllib.request.Request(self._url, form, headers)  # noqa: S310 the address of a target
            with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
                content = json.loads(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                self._fail(f"the answer is status {error.code} {_code_of(error)}".rstrip())
        except (OSError, ValueError, RecursionError, HTTPException) as error:
            self._fail(f"there is no valid answer ({type(error).__name__})")
        return content if isinstance(content, dict) else {}

    def _fail(self, why: str) -> NoReturn:
        raise TokenUnavailable(
            f"No access token for {self._file.name} with scopes {self._scopes or '(read only)'}: {why}.",
            hint="Check that the service runs, knows this client, and allows it these scopes.",
        ) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, so that the secret is sent to the given address only."""

    def redirect_request(self, *_: object) -> None:
        """Return None: follow no redirect."""


# Proxy settings of the environment are ignored too.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def _code_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_ANSWER_BYTES_MAX)).get("code", ""))[:60]
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def read_client(file: Path) -> str:
    """Return the HTTP Basic credentials of a client's file; raises TokenUnavailable, which quotes nothing of
    it.
    """
    pair = ":".join(quote(part.decode(), safe="") for part in _read_pair(file))
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def read_client_name(file: Path) -> str:
    """Return the name of a client's file, which is the merchant as whom it acts; raises TokenUnavailable."""
    return _read_pair(file)[0].decode()


def _read_pair(file: Path) -> tuple[bytes, bytes]:
    try:
        with file.open("rb") as stream:
            found = _CLIENT.fullmatch(stream.read(_CLIENT_BYTES_MAX).strip())
    except OSError as error:
        raise TokenUnavailable(
            f"The client's file cannot be read: {file.name} ({error.strerror}).",
            hint="Name a file that holds a client's name and secret, as in name:secret.",
        ) from None
    if found is None:
        raise TokenUnavailable(
            f"The client's file does not hold a client: {file.name}.",
            hint="Write nothing but the client's name and secret into it, as in name:secret.",
        )
    name, secret = found.groups()
    return name, secret
