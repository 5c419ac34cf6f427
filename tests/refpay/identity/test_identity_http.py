"""The token endpoint, keys and rotation over HTTP, as a client and a second verifier meet them."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from refpay.identity.token_keys import rotate_keys
from refpay.settings import Settings, read_settings

if TYPE_CHECKING:
    from tests.refpay.conftest import Answer, Client


TOKEN, KEYS = "/v1/oauth/token", "/.well-known/jwks.json"
FORM = "application/x-www-form-urlencoded"


async def ask(api: "Client", name: str = "shop", secret: str | None = None, more: str = "") -> "Answer":
    """Ask for a token by HTTP Basic."""
    pair = f"{name}:{secret or f'secret-of-{name}'}".encode()
    return await api.send(
        "POST",
        TOKEN,
        f"grant_type=client_credentials{more}".encode(),
        by=None,
        Authorization=f"Basic {base64.b64encode(pair).decode()}",
        Content_Type=FORM,
    )


async def test_a_client_gets_a_token_and_uses_it(shared_api: "Client") -> None:
    """By default it reads; it pays only when asked for; it is kept by no cache."""
    given = await ask(shared_api)
    assert (given.status, given.headers["Cache-Control"]) == (200, "no-store")
    assert given.body["scope"] == "payments:read"
    reading, paying = given.body, (await ask(shared_api, more="&scope=payments%3Aauthorize")).body
    order = {
        "merchant_reference": "by-token",
        "amount_minor": 7,
        "currency": "EUR",
        "card_token": "tok_411111_00ff",
    }
    for token, status in ((reading, 403), (paying, 201)):
        answer = await shared_api.post(
            "/v1/payments", order, by=None, Authorization=f"Bearer {token['access_token']}"
        )
        assert answer.status == status, answer.raw
    payment = f"/v1/payments/{answer.body['id']}"
    for token, status in ((reading, 200), (paying, 403)):
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert (await shared_api.send("GET", payment, by=None, **headers)).status == status


async def test_refusals_are_problems_with_the_field_of_the_standard(shared_api: "Client") -> None:
    """One form for all; a wrong secret looks like an unknown client."""
    wrong, unknown = await ask(shared_api, secret="guess"), await ask(shared_api, "stranger")
    for answer in (wrong, unknown):
        assert (answer.status, answer.body["code"], answer.body["error"]) == (401, *["invalid_client"] * 2)
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert {**wrong.body, "correlation_id": ""} == {**unknown.body, "correlation_id": ""}
    asked = await ask(shared_api, more="&scope=operations:repair")
    assert (asked.status, asked.body["error"]) == (400, "invalid_scope")
    neither = await shared_api.send(
        "POST", TOKEN, b"grant_type=client_credentials", by=None, Content_Type=FORM
    )
    assert neither.status == 401
    as_json = await shared_api.send("POST", TOKEN, {"grant_type": "client_credentials"}, by=None)
    assert (as_json.status, as_json.body["error"]) == (400, "invalid_request")


async def test_every_wrong_token_gets_the_same_answer(
    shared_api: "Client", make_token: Callable[..., str]
) -> None:
    """Bytes, but for the correlation id: nobody learns how far he came."""
    good = make_token("shop", ("payments:read",))
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"test-1","typ":"at+jwt"}').rstrip(b"=").decode()
    wrong = ["x", f"{none}.{body}.", f"{head}.{body}.{signature[::-1]}", f"{head}.{body[::-1]}.{signature}"]
    bodies = set()
    for token in wrong:
        answer = await shared_api.send(
            "GET", "/v1/operations/providers", by=None, Authorization=f"Bearer {token}"
        )
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        bodies.add(json.dumps({**answer.body, "correlation_id": ""}))
    assert len(bodies) == 1


async def test_a_second_verifier_needs_only_the_published_keys(shared_api: "Client") -> None:
    """JWKS in, claims out; nothing private is published."""
    published = await shared_api.send("GET", KEYS, by=None)
    assert published.headers["Cache-Control"] == "public, max-age=60"
    assert b'"d"' not in published.raw
    token = (await ask(shared_api)).body["access_token"]
    key = jwt.PyJWKSet.from_dict(published.body)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="refpay-api", issuer="refpay")
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("shop", 300)


@pytest.fixture
def own_secrets(secrets_folder: Path, tmp_path: Path) -> Path:
    """Copy the secrets, so that a test can rotate them."""
    for file in secrets_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


async def test_a_running_service_takes_a_new_key_and_drops_an_old_one(
    db: Any,
    own_secrets: Path,
    make_environment: Callable[..., dict[str, str]],
    run_api: Callable[[Settings], Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Rotated twice under a client that goes on: no restart, and no secret in anything that is logged."""
    file = own_secrets / "token_keys.json"
    async with run_api(read_settings(make_environment(db, own_secrets))) as api:

        async def opens(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            answer: Answer = await api.send("GET", "/v1/operations/providers", by=None, **headers)
            return answer.status

        async def fresh() -> str:
            return str((await ask(api, "observer")).body["access_token"])

        first = await fresh()
        assert await opens(first) == 200
        kids = {jwt.get_unverified_header(first)["kid"]}
        for _ in range(2):
            kid = rotate_keys(file)
            while kid not in {key["kid"] for key in (await api.get(KEYS, by=None)).body["keys"]}:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.05)
            token = await fresh()
            kids.add(jwt.get_unverified_header(token)["kid"])
            assert await opens(token) == 200
        assert len(kids) == 3
        assert await opens(first) == 401
        file.write_text("broken")
        assert await opens(token) == 200
    said = "".join(capfd.readouterr())
    digest = json.loads((own_secrets / "clients.json").read_text())["clients"][0]["secret_sha256"]
    for secret in (token, "secret-of-observer", digest):
        assert secret not in said
