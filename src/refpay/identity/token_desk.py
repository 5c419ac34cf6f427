"""The client credentials grant (RFC 6749, section 4.4): a client and its secret for a short-lived token."""

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
_STRICTLY: Final[Any] = {"keep_blank_values": True, "strict_parsing": True, "errors": "strict"}
# A client needs one in five minutes for each set of scopes and each of its processes.
_OF_A_CLIENT: Final = (5.0, 30.0)
_OF_ALL: Final = (50.0, 200.0)


class TokenDesk:
    """Issues tokens; refusals and grants draw on different allowances.

    So no stranger who knows a client's name can keep that client from its tokens.
    """

    def __init__(self, principals: Principals, clock: Clock) -> None:
        """Issue what `principals` accept: keys and clients are theirs."""
        self._keys, self._clients, self._clock = principals.keys, principals.clients, clock
        self._refusals, self._grants = Bucket(*_OF_ALL, clock.monotonic), Bucket(*_OF_ALL, clock.monotonic)
        self._grants_of: dict[str, Bucket] = {}

    def grant(self, authorization: str | None, media_type: str, body: bytes) -> dict[str, str | int]:
        """Return a token and what it is good for: the client by HTTP Basic or in the form, never both.

        Without a `scope` the token can only read. Raises one of the errors of RFC 6749, section 5.2, or
        TokenRateExceeded.
        """
        try:
            form = _read_form(media_type, body)
            name, secret = _read_client(authorization, form)
            client = self._clients.get().authenticate(name, secret)
        except (errors.ClientRefused, errors.TokenRequestInvalid):
            _take(self._refusals)
            raise
        # Only of clients that have proved who they are, so at most as many as there are.
        _take(self._grants_of.setdefault(client.name, Bucket(*_OF_A_CLIENT, self._clock.monotonic)))
        _take(self._grants)
        if form.get("grant_type") != "client_credentials":
            raise errors.GrantUnsupported("grant_type: allowed: client_credentials")
        scopes = _choose(client, form.get("scope"))
        return {
            "access_token": tokens.issue(client.name, scopes, self._keys.get(), self._clock.now()),
            "token_type": "Bearer",
            "expires_in": tokens.LIFETIME_SECONDS,
            "scope": " ".join(sorted(scopes)),
        }


def _take(bucket: Bucket) -> None:
    if bucket.wait_seconds():
        raise errors.TokenRateExceeded("too many token requests: keep a token until it runs out")
    bucket.take()


def _read_form(media_type: str, body: bytes) -> Mapping[str, str]:
    if media_type.partition(";")[0].strip().lower() != _FORM:
        raise errors.TokenRequestInvalid(f"header Content-Type: needed: {_FORM}")
    try:
        fields = parse_qsl(body.decode("ascii"), max_num_fields=_FIELDS_MAXIMUM, **_STRICTLY)
    except ValueError:
        # The cause would quote the secret.
        raise errors.TokenRequestInvalid("body: needed: a form of at most a few fields") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise errors.TokenRequestInvalid("body: a field is there twice")
    return form


def _read_client(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    if authorization is None:
        if not form.get("client_id") or "client_secret" not in form:
            raise errors.ClientRefused("client id and secret are needed: by HTTP Basic, or in the form")
        return form["client_id"], form["client_secret"]
    if "client_id" in form or "client_secret" in form:
        raise errors.TokenRequestInvalid("client: allowed: HTTP Basic or the form's fields, not both")
    kind, _, credentials = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        kind = colon = ""
    if kind.lower() != "basic" or not colon:
        raise errors.ClientRefused("header Authorization: needed: HTTP Basic with client id and secret")
    return unquote_plus(name), unquote_plus(secret)


def _choose(client: Client, asked: str | None) -> frozenset[Scope]:
    names = client.scopes & READING if asked is None else frozenset(asked.split())
    if not names:
        raise errors.ScopeRefused("scope: name the scopes that are needed: by default a token only reads")
    if not names <= client.scopes:
        raise errors.ScopeRefused("scope: a scope is not known, or not the client's")
    scopes = frozenset(map(Scope, names))
    if scopes & PAYING and scopes & OPERATING:
        raise errors.ScopeRefused("scope: paying and operating the service are never in one token")
    return scopes
