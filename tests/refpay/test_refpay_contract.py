"""Every endpoint is declared whole, served as declared, and described as served."""

import json
import pkgutil
import subprocess
import sys
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import refpay
from refpay.app.bodies import CaptureBody
from refpay.app.commands import ANONYMOUS
from refpay.app.contract import Auth, AuthenticatedRequest, Endpoint, Idempotency, Waived
from refpay.app.main import ENDPOINTS, answered
from refpay.app.openapi import describe
from refpay.app.services import Services
from refpay.app.serving import serve_endpoints
from refpay.errors import RefpayError, StartRefused
from refpay.identity.errors import CredentialRefused
from refpay.ledger.errors import ColdFileDamaged, MonthNotMoved
from refpay.payments.claims import Command
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.reports import ReportInvalid, ReportReplayed
from refpay.risk.errors import RiskTimedOut
from refpay.seals.accepting import ChainNotAccepted
from refpay.seals.seal_log import SealLogDamaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.refpay.conftest import Client, RefpayDb

PROJECT = Path(__file__).resolve().parents[2]
CHANGES = [one.endpoint for one in ENDPOINTS if one.endpoint.changes_state]
NEVER_ANSWERED = {
    StartRefused: "said on stderr, and nothing is served",
    ProviderOutcomeUnknown: "becomes an outcome that is not known yet, 202",
    RiskTimedOut: "the authorization goes on without an assessment",
    ColdFileDamaged: "met by the ledger's command alone",
    ChainNotAccepted: "met by the commands of the chains alone",
    MonthNotMoved: "met by the ledger's command alone",
    ReportInvalid: "met by the worker alone",
    ReportReplayed: "met by the worker alone",
    SealLogDamaged: "met by the worker and the commands of the chains",
}
CHANGING_METHODS = ("post", "put", "patch", "delete")


def _lacking(description: dict[str, Any]) -> dict[str, list[str]]:
    """Return what each state change of a description does not say, whoever wrote it."""
    found = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            contract = operation.get("x-contract", {})
            parts = [part for part in ("auth", "scopes", "idempotency", "audit") if not contract.get(part)]
            parts += [part for part in ("security", "requestBody") if not operation.get(part)]
            if method in CHANGING_METHODS and parts:
                found[f"{method} {path}"] = parts
    return found


def _said(part: tuple[object, ...] | Idempotency | Waived) -> bool:
    return bool(part.reason.strip() if isinstance(part, Waived) else part)


def _undeclared(endpoint: Endpoint[Any]) -> list[str]:
    """Return which parts of the contract of a state change are not declared."""
    parts = {
        "auth": endpoint.auth is not Auth.NONE,
        "scopes": _said(endpoint.scopes),
        "idempotency": _said(endpoint.idempotency),
        "audit": _said(endpoint.audit),
        "responses": bool(endpoint.responses),
        "version": endpoint.path.startswith("/v1/"),
    }
    return [part for part, said in parts.items() if not said]


def _undescribed(app: Any, description: dict[str, Any]) -> set[tuple[str, str]]:
    """Return what an app serves and a description does not know."""
    served = {
        (route.path, method.lower())
        for route in app.routes
        for method in route.methods or ()
        if method != "HEAD" and route.path != "/metrics"
    }
    return served - {(path, method) for path, methods in description["paths"].items() for method in methods}


def test_no_state_change_lacks_a_part_of_its_contract() -> None:
    """Neither in its declaration nor in the description that callers read."""
    assert len(CHANGES) >= 10
    assert {one.path: _undeclared(one) for one in CHANGES if _undeclared(one)} == {}
    assert _lacking(describe(ENDPOINTS)) == {}


@pytest.mark.parametrize(
    ("part", "nothing"),
    [
        ("auth", Auth.NONE),
        ("scopes", ()),
        ("scopes", Waived(" ")),
        ("idempotency", Waived("")),
        ("audit", ()),
        ("audit", Waived("")),
        ("responses", {}),
    ],
)
def test_a_part_that_is_left_out_is_named(part: str, nothing: object) -> None:
    """The check above can fail: each part, taken away from each endpoint, is missed by name."""
    for endpoint in CHANGES:
        spoilt: Endpoint[Any] = replace(endpoint, **{part: nothing})  # type: ignore[arg-type]
        assert _undeclared(spoilt) == [part]
    assert _undeclared(replace(CHANGES[0], path="/payments")) == ["version"]


def test_a_description_without_a_contract_is_found() -> None:
    """The check reads the description alone, so it finds whatever was served past the declarations."""
    description = describe(ENDPOINTS)
    del description["paths"]["/v1/payments"]["post"]["x-contract"]["audit"]
    description["paths"]["/v1/backdoor"] = {"post": {"responses": {}}}
    assert _lacking(description) == {
        "post /v1/payments": ["audit"],
        "post /v1/backdoor": ["auth", "scopes", "idempotency", "audit", "security", "requestBody"],
    }


def test_nothing_is_served_that_is_not_described() -> None:
    """Routes come from the declarations; one that is added beside them is found."""
    unused: Any = None
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Services))
    services = Services(**{**parts, "measures": _StubMeasures()})
    app = serve_endpoints(ENDPOINTS, services)
    description = describe(ENDPOINTS)
    assert _undescribed(app, description) == set()
    # Each serves its one method, and no HEAD besides.
    routes = [route for route in app.routes if isinstance(route, Route) and route.path != "/metrics"]
    assert [route.methods for route in routes] == [{one.endpoint.method} for one in ENDPOINTS]
    app.router.routes.append(Route("/v1/backdoor", lambda _request: unused, methods=["POST"]))
    assert _undescribed(app, description) == {("/v1/backdoor", "post")}


async def test_an_endpoint_of_another_auth_model_brings_its_reader(serve: "Callable[[Any], Any]") -> None:
    """What its reader makes of a request is what it is handed, and the description names the model."""
    seen = []

    async def read(
        _endpoint: object, _services: object, request: Request
    ) -> AuthenticatedRequest[CaptureBody]:
        command = Command(ANONYMOUS, request.headers["x-event"], b"", "", "live")
        return AuthenticatedRequest(command, {}, CaptureBody(amount_minor=len(await request.body())))

    contract = Endpoint(
        "POST",
        "/v1/signed",
        CaptureBody,
        {204: None},
        auth=Auth.SIGNATURE,
        scopes=Waived("the signature is the entitlement"),
        idempotency=Idempotency.EVENT_ID,
        audit=("signed.taken",),
        media_type="application/x-signed",
        read=read,
    )

    @contract
    async def take(_services: object, request: AuthenticatedRequest[CaptureBody]) -> Response:
        """Take it."""
        seen.append((request.command.key, request.payload.amount_minor))
        return Response(status_code=204)

    assert _undeclared(contract) == []
    assert CredentialRefused not in contract.refusals()
    operation = describe([take])["paths"]["/v1/signed"]["post"]
    assert operation["security"] == [{"signature": []}]
    assert list(operation["requestBody"]["content"]) == ["application/x-signed"]
    parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Services))
    app: Any = serve_endpoints([take], Services(**{**parts, "measures": _StubMeasures()}))
    async with serve(app) as client:
        answer = await client.send("POST", "/v1/signed", b"12345", by=None, X_Event="e-1")
    assert (answer.status, seen) == (204, [("e-1", 5)])


class _StubMeasures:
    """Return metrics for routes that are made and not called, or whose counts do not matter."""

    recorder: Any = None

    def now(self) -> float:
        """Return any time."""
        return 0.0


def test_operations_are_told_apart_by_their_names() -> None:
    """A generated client makes a method of each."""
    names = [one.handle.__name__ for one in ENDPOINTS]
    endpoints = [(one.endpoint.method, one.endpoint.path) for one in ENDPOINTS]
    assert len(set(names)) == len(names)
    assert len(set(endpoints)) == len(endpoints)
    assert all(one.handle.__doc__ for one in ENDPOINTS)


async def test_the_description_is_served(shared_api: "Client") -> None:
    """To anybody, and it is the one that is tested here."""
    answer = await shared_api.get("/v1/openapi.json", by=None)
    assert answer.body == json.loads(json.dumps(describe(ENDPOINTS)))
    assert answer.body["openapi"] == "3.1.0"


def all_problems() -> list[type[RefpayError]]:
    """Return every problem that any module of refpay knows."""
    for module in pkgutil.walk_packages(refpay.__path__, "refpay."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found = [RefpayError]
    for problem in found:
        found += [kind for kind in problem.__subclasses__() if kind.__module__.startswith("refpay.")]
    return list(dict.fromkeys(found))


def test_no_two_problems_share_a_code() -> None:
    """A code is said once; a subclass without one of its own is its parent to a caller."""
    saying = [problem for problem in all_problems() if "code" in vars(problem)]
    codes = [problem.code for problem in saying]
    assert len(codes) > 30
    assert sorted(codes) == sorted(set(codes))
    assert all(problem.title and 400 <= problem.status < 600 for problem in saying)


def test_a_problem_has_a_title_without_docstrings() -> None:
    """`python -OO` leaves none; then the words of the code stand for it."""
    said = "from refpay.identity.errors import ScopeMissing; print(ScopeMissing.title)"
    found = subprocess.run((sys.executable, "-OO", "-c", said), capture_output=True, text=True, check=True)
    assert found.stdout == "Scope missing\n"


def test_every_problem_is_answered_somewhere_or_kept_at_home_for_a_reason() -> None:
    """A new error has to be declared by an endpoint, or be said never to be answered."""
    known = {*answered(), *(problem.code for problem in NEVER_ANSWERED)}
    assert {problem.code for problem in all_problems()} == known
    assert not {*answered()} & {problem.code for problem in NEVER_ANSWERED}


def test_the_page_says_what_is_declared() -> None:
    """docs/api.md is made from the declarations; a stale one fails here and in `make check`."""
    tool = (sys.executable, str(PROJECT / "tools" / "describe_api.py"), "--check")
    said = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    page = (PROJECT / "docs" / "api.md").read_text()
    assert all(f"| `{code}` |" in page for code in answered())


async def test_endpoints_leave_the_audit_records_that_they_declare(api: "Client", db: "RefpayDb") -> None:
    """Each at least one under its own correlation id; the fixture fails on one that is not declared."""
    payment = (await api.captured())["id"]
    await api.post(f"/v1/payments/{payment}/refunds", {"amount_minor": 1})
    for action in (
        "providers/north/drain",
        "providers/north/restore",
        "risk/ranges/499999/block",
        "risk/ranges/499999/unblock",
        "dead-letters/notifications/replay",
    ):
        answer = await api.post(f"/v1/operations/{action}", {"reason": "test"}, by="operator")
        assert answer.body["changed"] is True
        (audited,) = api.audited[answer.headers["X-Correlation-Id"]]
        assert audited in await api.expect_audited(db)
    found = await api.expect_audited(db)
    assert found >= {"authorize.begun", "capture.succeeded", "refund.succeeded", "payment.changed"}


async def test_an_audit_record_that_is_not_declared_is_found(api: "Client", db: "RefpayDb") -> None:
    """The check of every test of the API can fail."""
    answer = await api.authorize()
    declared = api.audited[answer.headers["X-Correlation-Id"]]
    api.audited[answer.headers["X-Correlation-Id"]] = []
    with pytest.raises(AssertionError, match=r"authorize\.begun"):
        await api.expect_audited(db)
    api.audited[answer.headers["X-Correlation-Id"]] = declared


async def test_an_answer_that_is_not_described_is_found(
    api: "Client", expect_described: "Callable[..., object]"
) -> None:
    """The check of every answer in these tests can fail: by status, media type, schema or code."""
    good = await api.authorize()
    expect_described("POST", "/v1/payments", good)
    problem = (await api.get("/v1/payments/x")).raw
    kind = {"Content-Type": "application/problem+json"}
    for spoilt in (
        replace(good, status=204),
        replace(good, headers={"Content-Type": "text/plain"}),
        replace(good, raw=good.raw.replace(b'"captured_minor":0', b'"captured_minor":"0"')),
        replace(good, raw=good.raw.replace(b"{", b'{"surprise":1,', 1)),
        replace(good, status=409, raw=problem, headers=kind),
    ):
        with pytest.raises((AssertionError, ValidationError)):
            expect_described("POST", "/v1/payments", spoilt)
