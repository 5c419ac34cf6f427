"""Tokens: only what we signed, for us, now, with a key and for a client that are still there."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from refpay.errors import StartRefused
from refpay.identity.errors import CredentialRefused, ScopeMissing
from refpay.identity.principals import Principals
from refpay.identity.scopes import Scope
from refpay.identity.token_keys import TokenKeys, encode
from refpay.identity.tokens import TokenRefused, issue, verify

if TYPE_CHECKING:
    from tests.refpay.identity.conftest import IdentitySetup

REFUSAL = "The bearer token is not accepted."


def claims(identity: "IdentitySetup", **changed: Any) -> dict[str, Any]:
    """Return the claims of a right token; None takes one away."""
    now = int(identity.clock.now().timestamp())
    right = {
        "iss": "refpay", "aud": "refpay-api", "sub": "shop", "client_id": "shop", "scope": "payments:read",
        "iat": now, "exp": now + 300, "jti": "one",
    }  # fmt: skip
    return {name: value for name, value in {**right, **changed}.items() if value is not None}


def signed(content: dict[str, Any], key: Any, *, algorithm: str = "EdDSA", **header: Any) -> str:
    """Return a header with a token; header fields that are None are left out."""
    fields = {"kid": "k1", "typ": "at+jwt", **header}
    return f"Bearer {jwt.encode(content, key, algorithm=algorithm, headers=fields)}"


def by_hand(header: Any, content: Any, signature: bytes | Callable[[bytes], bytes]) -> str:
    """Return a header with a token that no library would make."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (_bytes(header), _bytes(content))]
    made = signature if isinstance(signature, bytes) else signature(b".".join(parts))
    return "Bearer " + b".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=")]).decode()


def _bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def refused(identity: "IdentitySetup", header: str | None) -> str:
    """Return what a refusal says; it has to be one."""
    with pytest.raises(CredentialRefused) as problem:
        identity.principals.authenticate(header)
    assert problem.value.__cause__ is None
    return problem.value.detail


def test_a_right_token_opens_and_says_who_and_what(identity: "IdentitySetup") -> None:
    """The twin of everything below."""
    principal = identity.principals.authenticate(identity.issue("shop", "payments:read"))
    assert (principal.name, principal.scopes) == ("shop", frozenset({Scope.PAYMENTS_READ}))
    principal.require(Scope.PAYMENTS_READ)
    with pytest.raises(ScopeMissing, match="payments:authorize"):
        principal.require(Scope.PAYMENTS_AUTHORIZE)


def test_the_tokens_of_the_tests_would_open(identity: "IdentitySetup", seed: Callable[[str], bytes]) -> None:
    """Or the table below would prove nothing."""
    key = Ed25519PrivateKey.from_private_bytes(seed("k1"))
    assert identity.principals.authenticate(signed(claims(identity), key)).name == "shop"
    assert identity.principals.authenticate(
        by_hand({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}, claims(identity), key.sign)
    )


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"iat": -400, "exp": -100},
    "expired just now": {"iat": -305, "exp": -5},
    "of the future": {"iat": 60, "exp": 300},
    "too long": {"exp": 301},
    "of another issuer": {"iss": "refpay2"},
    "for another audience": {"aud": "acquirers"},
    "for several audiences": {"aud": ["refpay-api", "acquirers"]},
    "without an audience": {"aud": None},
    "without an issuer": {"iss": None},
    "without a subject": {"sub": None},
    "without an end": {"exp": None},
    "without a beginning": {"iat": None},
    "without an id": {"jti": None},
    "without scopes": {"scope": None},
    "with an end that is no number": {"exp": "soon"},
    "with an end beyond all numbers": {"exp": 1e400},
    "with a true end": {"exp": True},
    "with scopes as a list": {"scope": ["payments:read"]},
    "with an unknown scope": {"scope": "payments:everything"},
    "with a scope that its client has not": {"scope": "payments:refund"},
    "of nobody": {"sub": "stranger"},
    "of a number": {"sub": 7},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS)
def test_wrong_claims_are_refused(
    identity: "IdentitySetup", seed: Callable[[str], bytes], wrong: str
) -> None:
    """Rightly signed, and still not for us, not now, or not entitled."""
    now = int(identity.clock.now().timestamp())
    changed = {
        name: now + value if name in ("iat", "exp") and type(value) is int else value
        for name, value in WRONG_CLAIMS[wrong].items()
    }
    key = Ed25519PrivateKey.from_private_bytes(seed("k1"))
    assert refused(identity, signed(claims(identity, **changed), key)) == REFUSAL


def _forgeries(identity: "IdentitySetup", seed: Callable[[str], bytes]) -> dict[str, str]:
    key, right = Ed25519PrivateKey.from_private_bytes(seed("k1")), claims(identity)
    other = Ed25519PrivateKey.from_private_bytes(seed("other"))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = identity.issue("shop", "payments:read")
    head, body, signature = good.split(".")

    def mac(secret: bytes) -> Callable[[bytes], bytes]:
        return lambda text: hmac.new(secret, text, hashlib.sha256).digest()

    hs, none = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, {"alg": "none", "kid": "k1", "typ": "at+jwt"}
    return {
        "unsigned": by_hand(none, right, b""),
        "unsigned in capitals": by_hand({**none, "alg": "NONE"}, right, b""),
        "unsigned, with our signature": by_hand(none, right, key.sign),
        "with the public key as secret": by_hand(hs, right, mac(public)),
        "with the public key's PEM as secret": by_hand(hs, right, mac(pem)),
        "with an empty secret": by_hand(hs, right, mac(b"")),
        "of another algorithm": signed(right, generate_ec(SECP256R1()), algorithm="ES256"),
        "of another key": signed(right, other),
        "of another key under its own id": signed(right, other, kid="other"),
        "with the key in its header": signed(right, other, jwk={"kty": "OKP", "x": encode(public)}),
        "without a key id": by_hand({"alg": "EdDSA", "typ": "at+jwt"}, right, key.sign),
        "with a path as key id": signed(right, key, kid="../k1"),
        "with a list as key id": by_hand({"alg": "EdDSA", "kid": ["k1"], "typ": "at+jwt"}, right, key.sign),
        "of another type": signed(right, key, typ="JWT"),
        "with an unknown critical field": signed(right, key, crit=["x"], x=1),
        "with a changed body": ".".join((head, _swap(body), signature)),
        "with a changed signature": ".".join((head, body, _swap(signature))),
        "with half a signature": good[: -len(signature) // 2],
        "without a signature": f"{head}.{body}.",
        "in two parts": f"{head}.{body}",
        "in four parts": f"{good}.x",
        "with a body that is a list": by_hand({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}, [], key.sign),
        "with a deep header": by_hand(b"[" * 1200, right, key.sign),
        "no token at all": "Bearer token",
        "not of this alphabet": "Bearer \u00e9\ud800.x.y",
    }  # fmt: skip


def _swap(text: str) -> str:
    return ("A" if text[5] != "A" else "B").join((text[:5], text[6:]))


FORGERIES = (
    "unsigned", "unsigned in capitals", "unsigned, with our signature", "with the public key as secret",
    "with the public key's PEM as secret", "with an empty secret", "of another algorithm", "of another key",
    "of another key under its own id", "with the key in its header", "without a key id",
    "with a path as key id", "with a list as key id", "of another type", "with an unknown critical field",
    "with a changed body", "with a changed signature", "with half a signature", "without a signature",
    "in two parts", "in four parts", "with a body that is a list", "with a deep header", "no token at all",
    "not of this alphabet",
)  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forgeries_are_refused_and_learn_nothing(
    identity: "IdentitySetup", seed: Callable[[str], bytes], forgery: str
) -> None:
    """Whatever is wrong, the sentence is the same."""
    assert refused(identity, _forgeries(identity, seed)[forgery]) == REFUSAL


def test_every_forgery_is_tried(identity: "IdentitySetup", seed: Callable[[str], bytes]) -> None:
    """The list that names them is whole."""
    assert tuple(_forgeries(identity, seed)) == FORGERIES


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic c2hvcDpz", "Bearer " + "x" * 2049])
def test_what_is_no_bearer_token_is_refused(identity: "IdentitySetup", header: str | None) -> None:
    """Another scheme, nothing, too much."""
    assert "needed" in refused(identity, header)


@given(st.text(max_size=300), st.binary(max_size=60))
def test_no_text_makes_the_verifier_raise_anything_else(text: str, raw: bytes) -> None:
    """TokenRefused is all that verifying can raise."""
    keys = TokenKeys("k", Ed25519PrivateKey.from_private_bytes(bytes(32)), {})
    for token in (text, by_hand({"alg": "EdDSA", "kid": "k"}, raw, raw).removeprefix("Bearer ")):
        with pytest.raises(TokenRefused):
            verify(token, keys, 0)


def test_a_token_lasts_as_long_as_it_says_even_when_it_is_remembered(identity: "IdentitySetup") -> None:
    """Five minutes and the leeway, to the second."""
    header = identity.issue()
    for seconds in (0, 299, 5.9):
        identity.clock.advance(seconds)
        assert identity.principals.authenticate(header).name == "shop"
    identity.clock.advance(0.1)
    assert refused(identity, header) == REFUSAL


def test_a_clock_a_little_behind_is_forgiven(identity: "IdentitySetup") -> None:
    """Five seconds, and not six."""
    header = identity.issue()
    identity.clock.advance(-5)
    assert identity.principals.authenticate(header)
    identity.clock.advance(-1)
    identity.open()
    assert refused(identity, header) == REFUSAL


def test_keys_are_rotated_without_a_restart(identity: "IdentitySetup") -> None:
    """Both open while both are there; with the old key its tokens go, remembered or not."""
    old = identity.issue()
    assert identity.principals.authenticate(old)
    identity.put_keys("k2", "k1", "k2")
    identity.clock.advance(1)
    new = identity.issue()
    assert jwt.get_unverified_header(new.removeprefix("Bearer "))["kid"] == "k2"
    for header in (old, new):
        assert identity.principals.authenticate(header)
    identity.put_keys("k2", "k2")
    identity.clock.advance(1)
    assert identity.principals.authenticate(new)
    assert refused(identity, old) == REFUSAL


def test_a_key_that_another_process_took_first_is_known_at_once(identity: "IdentitySetup") -> None:
    """An unknown key id is a reason to look, however shortly ago that was."""
    identity.put_keys("k2", "k1", "k2")
    ahead = Principals.load(identity.folder, identity.clock)
    here, identity.principals = identity.principals, ahead
    header = identity.issue()
    assert here.authenticate(header)


def test_a_retired_key_needs_its_public_half_alone(
    identity: "IdentitySetup", seed: Callable[[str], bytes]
) -> None:
    """It verifies, and cannot sign any more."""
    old = identity.issue()
    public = Ed25519PrivateKey.from_private_bytes(seed("k1")).public_key().public_bytes_raw()
    keys = {"k2": {"private": encode(seed("k2"))}, "k1": {"public": encode(public)}}
    identity.put("token_keys.json", {"signing": "k2", "keys": keys})
    identity.clock.advance(1)
    assert identity.principals.authenticate(old)
    identity.put("token_keys.json", {"signing": "k1", "keys": keys})
    identity.clock.advance(1)
    assert identity.principals.keys.get().signing_kid == "k2"
    assert identity.principals.keys.failures == 1


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"signing": "k1"}', '{"signing": "k2", "keys": {}}'])
def test_a_broken_key_file_changes_nothing_and_is_counted(
    identity: "IdentitySetup", broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was signed stays good, new tokens go on; repaired, it counts again from there."""
    before = identity.issue()
    identity.put("token_keys.json", broken)
    for _ in range(3):
        identity.clock.advance(1)
        assert identity.principals.authenticate(before)
    assert identity.principals.authenticate(identity.issue())
    assert identity.principals.keys.failures == 1, "logged once, not once a second"
    identity.put_keys("k2", "k2")
    identity.clock.advance(1)
    assert refused(identity, before) == REFUSAL
    (identity.folder / "token_keys.json").unlink()
    identity.clock.advance(1)
    assert identity.principals.authenticate(identity.issue())
    assert identity.principals.keys.failures == 2


def test_a_client_that_is_gone_or_has_less_is_refused_at_once(identity: "IdentitySetup") -> None:
    """Its token lasts for minutes, its rights only as long as it has them."""
    header = identity.issue("shop", "payments:authorize")
    reader = identity.issue("shop", "payments:read")
    assert identity.principals.authenticate(header)
    identity.put_clients({"shop": ("payments:read",)})
    identity.clock.advance(1)
    assert refused(identity, header) == REFUSAL
    assert identity.principals.authenticate(reader)
    identity.put_clients({})
    identity.clock.advance(1)
    assert refused(identity, reader) == REFUSAL


def test_what_is_remembered_is_bounded_and_holds_no_token(
    identity: "IdentitySetup", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten, and opens again all the same."""
    monkeypatch.setattr("refpay.identity.principals._KNOWN_MAXIMUM", 3)
    headers = [identity.issue() for _ in range(5)]
    for header in headers * 2:
        assert identity.principals.authenticate(header)
    known = identity.principals._known
    assert len(known) == 3
    assert all(isinstance(digest, bytes) and len(digest) == 32 for digest in known)


def test_a_remembered_token_is_not_verified_again(
    identity: "IdentitySetup", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature costs seventy times the look-up."""
    header = identity.issue()
    first = identity.principals.authenticate(header)
    monkeypatch.setattr("refpay.identity.principals.verify", None)
    assert identity.principals.authenticate(header) is first


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "signing"),
        ({"keys": {"k1": {"private": "x" * 43}}}, "signing"),
        ({"signing": "k1", "keys": {}}, "keys: .* at least 1 item"),
        (
            {"signing": "k1", "keys": {f"k{n}": {"private": "x" * 43} for n in range(11)}},
            "keys: .* at most 10",
        ),
        ({"signing": "k2", "keys": {"k1": {"private": "x" * 43}}}, "signing"),
        ({"signing": "k1", "keys": {"k1": {"public": "x" * 43}}}, "signing"),
        ({"signing": "k1", "keys": {"k1": {"private": "x" * 42}}}, r"keys.private: .*\{43\}"),
        (
            {"signing": "k1", "keys": {"k1": {"private": "x" * 43, "public": "x" * 43}}},
            "keys: .* at most 1 item",
        ),
        ({"signing": "k1", "keys": {"k1": {"secret": "x" * 43}}}, "keys: .*'private' or 'public'"),
        ({"signing": "k1", "keys": {"k1": "x" * 43}}, "keys: .* object"),
        ({"signing": "k1", "keys": {"k 1": {"private": "x" * 43}}}, "keys: .* pattern"),
        ({"signing": "k1", "keys": {"k1": {"private": "x" * 43}}, "more": 1}, "signing"),
    ],
)
def test_a_wrong_key_file_names_the_key_and_quotes_none(
    identity: "IdentitySetup", content: Any, named: str
) -> None:
    """One sentence with what is allowed."""
    identity.put("token_keys.json", content)
    with pytest.raises(StartRefused, match=named) as problem:
        TokenKeys.load(identity.folder / "token_keys.json")
    assert "xxx" not in problem.value.detail


def test_published_keys_verify_and_are_public_alone(identity: "IdentitySetup") -> None:
    """Whoever has the JWK set can verify; nobody can sign with it."""
    identity.put_keys("k2", "k1", "k2")
    identity.clock.advance(1)
    token = identity.issue().removeprefix("Bearer ")
    published = identity.principals.keys.get().jwks()
    assert {key["kid"] for key in published["keys"]} == {"k1", "k2"}
    assert all(set(key) == {"kty", "crv", "use", "alg", "kid", "x"} for key in published["keys"])
    found = jwt.PyJWKSet.from_dict(published)["k2"]
    # The clock of the test stands still in the past.
    options: Any = {"verify_exp": False}
    assert (
        jwt.decode(token, found, algorithms=["EdDSA"], audience="refpay-api", options=options)["sub"]
        == "shop"
    )


def test_no_secret_is_in_any_representation(identity: "IdentitySetup", seed: Callable[[str], bytes]) -> None:
    """Neither keys nor tokens show in what a log might print."""
    shown = repr(identity.principals.keys.get()) + repr(identity.principals.clients.get())
    assert encode(seed("k1")) not in shown
    assert "Ed25519PrivateKey" not in shown


def _respelled(token: str) -> dict[str, str]:
    """Return headers with the same token in other spellings, as lenient readers of base64 take them."""
    head, body, signature = token.split(".")
    return {
        "padded": f"Bearer {token}==",
        "with a part padded": f"Bearer {head}=.{body}.{signature}",
        "with a blank inside": f"Bearer {head}.{body}.{signature[:9]} {signature[9:]}",
        "with a line's end": f"Bearer {token}\n",
        "with a blank before": f"Bearer  {token}",
        "with a blank behind": f"Bearer {token} ",
        "with a tab before": f"Bearer \t{token}",
        "with what is not of the alphabet": f"Bearer {head}.{body}.{signature[:9]}!{signature[9:]}",
        "in base64": f"Bearer {head}.{body}.{signature.replace('-', '+').replace('_', '/')}+",
        "twice": f"Bearer {token}, Bearer {token}",
        "with other last bits": f"Bearer {token[:-1]}{_next(token[-1])}",
    }


def _next(letter: str) -> str:
    """Return the letter of base64url after one of a signature's last: the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) + 1]


RESPELLED = (
    "padded", "with a part padded", "with a blank inside", "with a line's end", "with a blank before",
    "with a blank behind", "with a tab before", "with what is not of the alphabet", "in base64", "twice",
    "with other last bits",
)  # fmt: skip


@pytest.mark.parametrize("how", RESPELLED)
def test_a_token_has_one_spelling(identity: "IdentitySetup", how: str) -> None:
    """Refused before and after the token itself was accepted, and so remembered."""
    header = identity.issue()
    other = _respelled(header.removeprefix("Bearer "))
    assert tuple(other) == RESPELLED
    assert refused(identity, other[how]) == REFUSAL
    assert identity.principals.authenticate(header)
    assert refused(identity, other[how]) == REFUSAL


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_case_of_the_scheme_does_not_matter(identity: "IdentitySetup", scheme: str) -> None:
    """RFC 9110, 11.1: the scheme is no part of the token."""
    token = identity.issue().removeprefix("Bearer ")
    assert identity.principals.authenticate(f"{scheme} {token}").name == "shop"


_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_KEYS = TokenKeys("k1", _KEY, {"k1": _KEY.public_key()})
_NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
_TOKEN = issue("shop", frozenset({Scope.PAYMENTS_READ}), _KEYS, _NOW)


@given(st.integers(0, len(_TOKEN) - 1), st.integers(0, 255), st.sampled_from(["change", "insert", "cut"]))
def test_no_byte_of_a_token_can_be_changed(place: int, byte: int, how: str) -> None:
    """Changed, inserted or cut, anywhere: whatever it makes of the text, it is refused."""
    after = place if how == "insert" else place + 1
    other = f"{_TOKEN[:place]}{'' if how == 'cut' else chr(byte)}{_TOKEN[after:]}"
    assert verify(_TOKEN, _KEYS, _NOW.timestamp())
    if other != _TOKEN:
        with pytest.raises(TokenRefused):
            verify(other, _KEYS, _NOW.timestamp())


def test_no_last_letter_of_a_token_can_be_another() -> None:
    """The last letter holds four bits that mean nothing: of its 64, one is accepted."""
    taken = []
    for byte in range(256):
        try:
            verify(_TOKEN[:-1] + chr(byte), _KEYS, _NOW.timestamp())
            taken.append(chr(byte))
        except TokenRefused:
            pass
    assert taken == [_TOKEN[-1]]
