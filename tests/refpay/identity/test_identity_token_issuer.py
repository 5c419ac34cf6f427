"""The token endpoint's rules: who gets a token, for what, how often, and what a refusal says."""

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from refpay.errors import RefpayError, StartRefused
from refpay.identity.principals import Clients

if TYPE_CHECKING:
    from tests.refpay.identity.conftest import IdentitySetup

FORM = "application/x-www-form-urlencoded"


def basic(name: str, secret: str) -> str:
    """Return the header of HTTP Basic, encoded as RFC 6749 wants."""
    return "Basic " + base64.b64encode(f"{quote(name)}:{quote(secret)}".encode()).decode()


def ask(
    identity: "IdentitySetup", authorization: str | None, media_type: str = FORM, **fields: str
) -> dict[str, str | int]:
    """Ask for a token."""
    form = urlencode({"grant_type": "client_credentials", **fields}).encode()
    return identity.issuer.grant(authorization, media_type, form)


def refusal(identity: "IdentitySetup", authorization: str | None, **rest: str) -> str:
    """Return the code of a refusal; it has to be one."""
    with pytest.raises(RefpayError) as problem:
        ask(identity, authorization, **rest)
    return problem.value.code


def test_basic_and_form_give_the_same_token(identity: "IdentitySetup", secrets: Mapping[str, str]) -> None:
    """Both ways of RFC 6749, and what comes back is accepted."""
    form = {"client_id": "shop", "client_secret": secrets["shop"]}
    for grant in (ask(identity, basic("shop", secrets["shop"])), ask(identity, None, **form)):
        assert grant == {
            "access_token": grant["access_token"],
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "payments:read",
        }
        assert identity.principals.authenticate(f"Bearer {grant['access_token']}").name == "shop"


@pytest.mark.parametrize(
    ("client", "asked", "granted"),
    [
        ("shop", None, "payments:read"),
        ("observer", None, "ledger:read operations:read"),
        ("shop", "payments:authorize", "payments:authorize"),
        ("shop", "payments:read payments:authorize", "payments:authorize payments:read"),
        ("operator", "operations:repair", "operations:repair"),
        ("operator", "payments:refund traffic:canary", "payments:refund traffic:canary"),
    ],
)
def test_a_token_holds_what_is_asked_and_by_default_only_reads(
    identity: "IdentitySetup", secrets: Mapping[str, str], client: str, asked: str | None, granted: str
) -> None:
    """Moving money and operating are never in a token that did not ask for them."""
    fields = {} if asked is None else {"scope": asked}
    grant = ask(identity, basic(client, secrets[client]), **fields)
    assert grant["scope"] == granted


@pytest.mark.parametrize(
    ("client", "asked"),
    [
        ("operator", None),  # has nothing to read, and a default never moves money
        ("shop", ""),
        ("shop", "payments:refund"),
        ("shop", "payments:read payments:refund"),
        ("shop", "everything"),
        ("operator", "operations:repair payments:refund"),  # both are its own, and never together
    ],
)
def test_scopes_that_cannot_be_granted_are_refused(
    identity: "IdentitySetup", secrets: Mapping[str, str], client: str, asked: str | None
) -> None:
    """All or nothing: a token with less would fail later and elsewhere."""
    fields = {} if asked is None else {"scope": asked}
    assert refusal(identity, basic(client, secrets[client]), **fields) == "invalid_scope"


def test_strangers_and_wrong_secrets_get_one_answer(
    identity: "IdentitySetup", secrets: Mapping[str, str]
) -> None:
    """Unknown name, wrong secret, another's secret, the digest itself, nothing."""
    digest = json.loads((identity.folder / "clients.json").read_text())["clients"][0]["secret_sha256"][0]
    tries = [
        basic("stranger", "s"),
        basic("shop", "wrong"),
        basic("shop", secrets["observer"]),
        basic("shop", digest),
        basic("shop", ""),
        basic("shop", secrets["shop"][:-1]),
    ]
    details = set()
    for header in tries:
        with pytest.raises(RefpayError) as problem:
            ask(identity, header)
        assert (problem.value.code, problem.value.status) == ("invalid_client", 401)
        details.add(problem.value.detail)
    assert len(details) == 1


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", "Basic c2hvcA==", "Bearer x", "Basic /w==", "Basic c2hvcA== x"]
)
def test_a_header_that_is_not_basic_is_no_client(identity: "IdentitySetup", header: str) -> None:
    """Never an exception of the decoder."""
    assert refusal(identity, header) == "invalid_client"
    assert refusal(identity, None) == "invalid_client"


def test_malformed_requests_are_named(identity: "IdentitySetup", secrets: Mapping[str, str]) -> None:
    """Another grant, another form, a client given twice, a field given twice."""
    shop = basic("shop", secrets["shop"])
    assert refusal(identity, shop, grant_type="password") == "unsupported_grant_type"
    assert refusal(identity, shop, media_type="application/json") == "invalid_request"
    assert refusal(identity, shop, client_id="shop") == "invalid_request"
    for body in (
        b"grant_type=a&grant_type=b",
        b"x",
        b"a=%ff",
        b"a=\xff",
        b"&".join([b"a%d=1" % n for n in range(9)]),
    ):
        with pytest.raises(RefpayError) as problem:
            identity.issuer.grant(shop, FORM, body)
        assert problem.value.code == "invalid_request"
        assert problem.value.__cause__ is None


def test_a_client_that_asks_too_often_waits_and_others_do_not(
    identity: "IdentitySetup", secrets: Mapping[str, str]
) -> None:
    """Thirty at once, then five a second."""
    shop, observer = (basic(name, secrets[name]) for name in ("shop", "observer"))
    for _ in range(30):
        ask(identity, shop)
    assert refusal(identity, shop) == "token_rate_exceeded"
    assert ask(identity, observer)
    identity.clock.advance(0.2)
    assert ask(identity, shop)
    assert refusal(identity, shop) == "token_rate_exceeded"


def test_strangers_are_slowed_down_and_keep_nobody_out(
    identity: "IdentitySetup", secrets: Mapping[str, str]
) -> None:
    """Two hundred guesses with a client's name, and the client still gets its token."""
    codes = [refusal(identity, basic("shop", "guess")) for _ in range(201)]
    assert set(codes[:200]) == {"invalid_client"}
    assert codes[200] == "token_rate_exceeded"
    assert ask(identity, basic("shop", secrets["shop"]))


def test_all_clients_together_are_bounded(identity: "IdentitySetup", secrets: Mapping[str, str]) -> None:
    """However many clients there are: signing costs more than anything else here."""
    names = [f"c{number}" for number in range(7)]
    identity.put_clients(dict.fromkeys(("shop",), ("payments:read",)))
    content = json.loads((identity.folder / "clients.json").read_text())
    content["clients"] += [
        {"name": name, "secret_sha256": f"{number:064x}", "scopes": ["payments:read"]}
        for number, name in enumerate(names)
    ]
    identity.put("clients.json", content)
    identity.clock.advance(1)
    for _ in range(200):
        identity.issuer._grants.take()
    assert refusal(identity, basic("shop", secrets["shop"])) == "token_rate_exceeded"


def test_a_clients_secret_is_rotated_without_a_gap(identity: "IdentitySetup") -> None:
    """Two secrets open for a while, then only the new one."""
    old, new = "s" * 43, "n" * 43
    identity.put_clients(shop=[old, new])
    identity.clock.advance(1)
    for secret in (old, new):
        assert ask(identity, basic("shop", secret))
    identity.put_clients(shop=[new])
    identity.clock.advance(1)
    assert ask(identity, basic("shop", new))
    assert refusal(identity, basic("shop", old)) == "invalid_client"


def entry(**changed: Any) -> dict[str, Any]:
    """Return a client of the file."""
    return {"name": "shop", "secret_sha256": "a" * 64, "scopes": [], **changed}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "clients"),
        ({"clients": {}}, "clients"),
        ({"clients": [], "more": 1}, "clients"),
        ({"clients": [{}] * 1001}, "1000"),
        ({"clients": [entry(name="Shop")]}, "clients.0.name: .* pattern"),
        ({"clients": [entry(secret_sha256="t")]}, "secret_sha256"),
        ({"clients": [entry(secret_sha256=[])]}, "secret_sha256"),
        ({"clients": [entry(secret_sha256=["a" * 64, "b" * 64, "c" * 64])]}, "secret_sha256"),
        ({"clients": [entry(scopes=["everything"])]}, "payments:authorize"),
        ({"clients": [entry(scopes="payments:read")]}, "scopes"),
        ({"clients": [entry(secret="t")]}, "clients.0: .* not permitted"),
        ({"clients": [entry(), entry(name="other")]}, "repeated"),
        ({"clients": [entry(), entry(secret_sha256="0" * 64)]}, "repeated"),
    ],
)
def test_a_wrong_client_file_names_the_key(identity: "IdentitySetup", content: Any, named: str) -> None:
    """One sentence, with what is allowed; the digest is not in it."""
    identity.put("clients.json", content)
    with pytest.raises(StartRefused, match=named) as problem:
        Clients.load(identity.folder / "clients.json")
    assert "aaa" not in problem.value.detail


def test_a_broken_client_file_keeps_everybody_in(
    identity: "IdentitySetup", secrets: Mapping[str, str]
) -> None:
    """And is counted."""
    identity.put("clients.json", "{")
    identity.clock.advance(1)
    assert ask(identity, basic("shop", secrets["shop"]))
    assert identity.principals.clients.failures == 1
