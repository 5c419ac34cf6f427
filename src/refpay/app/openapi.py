"""Make the OpenAPI 3.1 description, including every problem, from the declared endpoints."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from refpay.app.contract import Auth, BoundEndpoint, Endpoint, Idempotency, Waived
from refpay.app.views import ProblemView
from refpay.errors import RefpayError
from refpay.identity.errors import CredentialRefused
from refpay.ids import ID_PATTERN
from refpay.problems import PROBLEM_MEDIA_TYPE
from refpay.settings import PROVIDER_NAMES

Json = dict[str, Any]
_REF: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_ID: Final[Json] = {"format": "uuid", "pattern": ID_PATTERN}
_PATH_PARAMETERS: Final[Mapping[str, Json]] = {
    **{key: {"type": "string", **_ID} for key in ("payment_id", "operation_id", "approval_id")},
    "provider": {"type": "string", "enum": list(PROVIDER_NAMES)},
    "queue": {"type": "string", "enum": ["notifications", "compliance_log"]},
    "card_range": {"type": "string", "pattern": "^([0-9]{6}|busiest)$"},
}
_NAMES: Final = "Identifies the request in our logs. A caller may send its own."
_CORRELATION: Final[Json] = {"X-Correlation-ID": {"description": _NAMES, "schema": {"type": "string"}}}
_RETRY_AFTER: Final[Json] = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
_KEY_PARAMETERS: Final[list[Json]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "New for each new request, the same in every retry of it.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    {
        "name": "X-Traffic",
        "in": "header",
        "description": "Values other than `live` need the scope traffic:canary.",
        "schema": {"type": "string", "enum": ["live", "canary", "drill"], "default": "live"},
    },
]
_SECURITY: Final[Mapping[Auth, Json]] = {
    Auth.BEARER: {"type": "http", "scheme": "bearer"},
    Auth.SIGNATURE: {"type": "apiKey", "in": "header", "name": "X-Signature"},
    Auth.CLIENT_CREDENTIALS: {"type": "http", "scheme": "basic"},
}


def describe(served: Sequence[BoundEndpoint]) -> Json:
    """Return the whole description as a JSON value."""
    endpoints = [one.endpoint for one in served]
    models: set[type[Any]] = {ProblemView, *(endpoint.request_model for endpoint in endpoints)}
    models.update(model for endpoint in endpoints for model in endpoint.responses.values() if model)
    schemas = _schemas(sorted(models, key=lambda model: model.__name__))
    paths: dict[str, Json] = defaultdict(dict)
    for one in served:
        paths[one.endpoint.path][one.endpoint.method.lower()] = _operation(one, schemas)
    # A query has no schema of its own: its parameters are described one by one.
    for endpoint in endpoints:
        if not endpoint.changes_state:
            schemas.pop(endpoint.request_model.__name__, None)
    used = {endpoint.auth for endpoint in endpoints}
    security = {auth: scheme for auth, scheme in _SECURITY.items() if auth in used}
    return {
        "openapi": "3.1.0",
        "info": {"title": "refpay", "version": "1", "description": "The reference payment service."},
        "paths": dict(paths),
        "components": {"schemas": schemas, "securitySchemes": security},
    }


def _schemas(models: Iterable[type[Any]]) -> Json:
    adapters: list[tuple[str, Literal["validation"], TypeAdapter[Any]]]
    adapters = [(model.__name__, "validation", TypeAdapter(model)) for model in models]
    schemas: Json = TypeAdapter.json_schemas(adapters, ref_template=_REF)[1]["$defs"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    _spell_ids(schemas)
    return schemas


def _spell_ids(value: Any) -> None:
    """Add the one spelling of an id to every schema of one: the format `uuid` takes others."""
    if isinstance(value, dict):
        if value.get("format") == _ID["format"]:
            value.update(_ID)
        for part in value.values():
            _spell_ids(part)
    elif isinstance(value, list):
        for part in value:
            _spell_ids(part)


def _operation(served: BoundEndpoint, schemas: Json) -> Json:
    endpoint = served.endpoint
    headline, _, rest = (served.handle.__doc__ or "").partition(". ")
    contract = {"auth": endpoint.auth, "scopes": _said(endpoint.scopes)}
    operation: Json = {
        "operationId": served.handle.__name__,
        "summary": headline.rstrip("."),
        "parameters": [*_parameters(endpoint, schemas)],
        "responses": _responses(endpoint),
        "x-contract": contract,
    }
    if rest:
        operation["description"] = rest
    if endpoint.auth is not Auth.NONE:
        operation["security"] = [{endpoint.auth: []}]
    if endpoint.changes_state:
        contract |= {"idempotency": _said(endpoint.idempotency), "audit": _said(endpoint.audit)}
        schema = {"$ref": _REF.format(model=endpoint.request_model.__name__)}
        required = any(field.is_required() for field in endpoint.request_model.model_fields.values())
        content = {endpoint.media_type: {"schema": schema}}
        operation["requestBody"] = {"required": required, "content": content}
    return operation


def _said(part: tuple[str, ...] | Idempotency | Waived) -> Any:
    if isinstance(part, Waived):
        return {"none": part.reason}
    return list(part) if isinstance(part, tuple) else part


def _parameters(endpoint: Endpoint[Any], schemas: Json) -> Iterable[Json]:
    for name in re.findall(r"{(\w+)}", endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}
    if not endpoint.changes_state:
        schema = schemas[endpoint.request_model.__name__]
        for name, parameter in schema.get("properties", {}).items():
            required = name in schema.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": parameter}
    if endpoint.keyed:
        yield from _KEY_PARAMETERS


def _responses(endpoint: Endpoint[Any]) -> Json:
    responses: Json = {str(status): _answer(endpoint, model) for status, model in endpoint.responses.items()}
    by_status: dict[int, list[type[RefpayError]]] = defaultdict(list)
    for problem in endpoint.refusals():
        by_status[problem.status].append(problem)
    for status, problems in sorted(by_status.items()):
        responses[str(status)] = _refusal(status, problems)
    return responses


def _answer(endpoint: Endpoint[Any], model: type[Any] | None) -> Json:
    headers = dict(_CORRELATION)
    if endpoint.keyed:
        replayed = {"type": "string", "enum": ["true"]}
        headers["Idempotency-Replayed"] = {
            "description": "The answer was stored; nothing was done again.",
            "schema": replayed,
        }
    if model is None:
        return {"description": "Accepted", "headers": headers}
    content = {_JSON: {"schema": {"$ref": _REF.format(model=model.__name__)}}}
    return {"description": (model.__doc__ or "").rstrip("."), "headers": headers, "content": content}


def _refusal(status: int, problems: Iterable[type[RefpayError]]) -> Json:
    codes = {problem.code: problem.title for problem in problems}
    headers = dict(_CORRELATION)
    if any(problem.retry_after_seconds is not None for problem in problems):
        headers["Retry-After"] = _RETRY_AFTER
    if status == CredentialRefused.status:
        headers["WWW-Authenticate"] = {"description": "The scheme.", "schema": {"type": "string"}}
    schema = {
        "allOf": [{"$ref": _REF.format(model=ProblemView.__name__)}],
        "properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}},
    }
    description = "; ".join(f"`{code}`: {title}" for code, title in sorted(codes.items()))
    content = {PROBLEM_MEDIA_TYPE: {"schema": schema}}
    return {"description": description, "headers": headers, "content": content}
