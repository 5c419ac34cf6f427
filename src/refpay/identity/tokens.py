"""Issue and verify access tokens: JWTs of one algorithm, one issuer and one audience (RFC 9068)."""

import math
from datetime import datetime
from typing import Any, Final

import jwt
from jwt.utils import base64url_decode, base64url_encode

from refpay.identity.scopes import Principal, Scope
from refpay.identity.token_keys import ALGORITHM, TokenKeys
from refpay.ids import mint_id

LIFETIME_SECONDS: Final = 300
# How far the clocks of issuer and verifier may differ.
LEEWAY_SECONDS: Final = 5
ISSUER: Final = "refpay"
AUDIENCE: Final = "refpay-api"
_TYPE: Final = "at+jwt"
_OPTIONS: Final[Any] = {
    "require": ["iss", "aud", "sub", "scope", "exp", "iat", "jti"],
    "strict_aud": True,
    # Times are compared here, by the injected clock.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenRefused(Exception):
    """A token is not accepted."""


class KeyUnknown(TokenRefused):
    """A token names a key that is not known, or not any more."""


def issue(client: str, scopes: frozenset[Scope], keys: TokenKeys, now: datetime) -> str:
    """Return a signed token for a client. It expires after LIFETIME_SECONDS."""
    issued_at = math.floor(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": client,
        "client_id": client,
        "scope": " ".join(sorted(scopes)),
        "iat": issued_at,
        "exp": issued_at + LIFETIME_SECONDS,
        "jti": str(mint_id(now)),
    }
    return jwt.encode(
        claims, keys.signing, algorithm=ALGORITHM, headers={"kid": keys.signing_kid, "typ": _TYPE}
    )


def _require_spelling(token: str) -> None:
    """Raise TokenRefused unless each part of a token is base64url as RFC 7515 has it: one text for its bytes.

    Python's decoder skips what is not of the alphabet and ignores the last bits, so that one signature would
    have many texts.
    """
    try:
        same = all(
            base64url_encode(base64url_decode(part)) == part.encode("ascii") for part in token.split(".")
        )
    except ValueError:
        same = False
    if not same:
        raise TokenRefused


def verify(token: str, keys: TokenKeys, now: float) -> tuple[Principal, float]:
    """Return a token's principal and when it expires, in Unix time.

    Raises TokenRefused without a reason if anything differs from the tokens that `issue` makes.
    """
    _require_spelling(token)
    try:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        key = keys.public.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise KeyUnknown
        if header.get("typ") != _TYPE:
            raise TokenRefused
        # The algorithm is ours and not the header's, so a key is never used with another algorithm.
        content = jwt.decode(
            token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS
        )
        issued_at, expires_at, scope = content["iat"], content["exp"], content["scope"]
        young = issued_at <= now + LEEWAY_SECONDS and expires_at - issued_at <= LIFETIME_SECONDS
        if not young or now >= expires_at + LEEWAY_SECONDS or not isinstance(scope, str):
            raise TokenRefused
        return Principal(content["sub"], frozenset(map(Scope, scope.split()))), expires_at
    except (jwt.PyJWTError, ValueError, TypeError):
        raise TokenRefused from None
