"""Issue short-lived access tokens by the client credentials grant (RFC 6749, section 4.4)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from refpay.buckets import Bucket
from refpay.clock import Clock
from refpay.identity import errors, tokens
from refpay.identity.principals import Client, Principals
from refpay.identity.scopes import OPERATING, PAYING, READING, Scope

_FORM: Final = "application/x-www-form-urlencoded"
_FIELDS_MAXIMUM: Final = 8
_STRICT_PARSING: Final[Any] = {"keep_blank_values": True, "strict_parsing": True, "errors": "strict"}
# Per second and at once. A client needs one token in five minutes for each set of scopes and each process.
_CLIENT_LIMIT: Final = (5.0, 30.0)
_TOTAL_LIMIT: Final = (50.0, 200.0)


class TokenIssuer:
    """Issue tokens. Refused requests and granted ones have separate rate limits.

    An unauthenticated sender who knows a client's name cannot keep that client from getting tokens.
    """

    def __init__(self, principals: Principals, clock: Clock) -> None:
        """Issue tokens that `principals` accepts, with its keys and for its clients."""
        self._keys, self._clients, self._clock = principals.keys, principals.clients, clock
        self._refusals = Bucket(*_TOTAL_LIMIT, clock.monotonic)
        self._grants = Bucket(*_TOTAL_LIMIT, clock.monotonic)
        self._grants_of: dict[str, Bucket] = {}

    def grant(self, authorization: str | None, media_type: str, body: bytes) -> dict[str, str | int]:
        """Return a token and its scope. The client authenticates by HTTP Basic or in the form, never both.

        Without `scope` the token can only read. Raises one of the errors of RFC 6749, section 5.2, or
        TokenRateExceeded.
        """
        try:
            form = _read_form(media_type, body)
            name, secret = _read_client(authorization, form)
            client = self._clients.get().authenticate(name, secret)
        except (errors.ClientRefused, errors.TokenRequestInvalid):
            _take(self._refusals)
            raise
        # Only authenticated clients get a bucket, so there are at most as many as clients.
        _take(self._grants_of.setdefault(client.name, Bucket(*_CLIENT_LIMIT, self._clock.monotonic)))
        _take(self._grants)
        if form.get("grant_type") != "client_credentials":
            raise errors.GrantUnsupported("The grant_type has to be client_credentials.")
        scopes = _choose(client, form.get("scope"))
        return {
            "access_token": tokens.issue(client.name, scopes, self._keys.get(), self._clock.now()),
            "token_type": "Bearer",
            "expires_in": tokens.LIFETIME_SECONDS,
            "scope": " ".join(sorted(scopes)),
        }


def _take(bucket: Bucket) -> None:
    if bucket.wait_seconds():
        raise errors.TokenRateExceeded("Too many token requests: keep a token until it expires.")
    bucket.take()


def _read_form(media_type: str, body: bytes) -> Mapping[str, str]:
    if media_type.partition(";")[0].strip().lower() != _FORM:
        raise errors.TokenRequestInvalid(f"The header Content-Type has to be {_FORM}.")
    try:
        fields = parse_qsl(body.decode("ascii"), max_num_fields=_FIELDS_MAXIMUM, **_STRICT_PARSING)
    except ValueError:
        # The cause would quote the secret.
        raise errors.TokenRequestInvalid("The body has to be a form of at most a few fields.") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise errors.TokenRequestInvalid("A field of the body is repeated.")
    return form


def _read_client(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    if authorization is None:
        if not form.get("client_id") or "client_secret" not in form:
            raise errors.ClientRefused("Client id and secret are needed, by HTTP Basic or in the form.")
        return form["client_id"], form["client_secret"]
    if "client_id" in form or "client_secret" in form:
        raise errors.TokenRequestInvalid(
            "The client has to authenticate by HTTP Basic or in the form, not both."
        )
    kind, _, credentials = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        kind = colon = ""
    if kind.lower() != "basic" or not colon:
        raise errors.ClientRefused("The header Authorization has to be HTTP Basic with client id and secret.")
    return unquote_plus(name), unquote_plus(secret)


def _choose(client: Client, asked: str | None) -> frozenset[Scope]:
    names = client.scopes & READING if asked is None else frozenset(asked.split())
    if not names:
        raise errors.ScopeRefused("Name the scopes that are needed: by default a token can only read.")
    if not names <= client.scopes:
        raise errors.ScopeRefused("A scope is unknown, or not granted to the client.")
    scopes = frozenset(map(Scope, names))
    if scopes & PAYING and scopes & OPERATING:
        raise errors.ScopeRefused(
            "Scopes for moving money and for operating the service never go into one token."
        )
    return scopes
