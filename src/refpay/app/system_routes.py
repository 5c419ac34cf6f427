"""Endpoints for health checks and for the API's description. They need no token."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from refpay.app.bodies import NoQuery
from refpay.app.contract import Auth, AuthenticatedRequest, Endpoint, Problem, Waived
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable


class StatusView(BaseModel):
    """The state of the process."""

    status: Literal["alive", "ready"]


class DescriptionView(BaseModel):
    """The OpenAPI description of this API."""

    model_config = ConfigDict(extra="allow")

    openapi: str


def _open(path: str, view: type[BaseModel], *problems: Problem) -> Endpoint[NoQuery]:
    scopes = Waived("it reveals nothing about anybody")
    return Endpoint("GET", path, NoQuery, {200: view}, auth=Auth.NONE, scopes=scopes, problems=problems)


@_open("/healthz", StatusView)
async def healthz(_services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Report that the process answers."""
    return b'{"status":"alive"}'


@_open("/readyz", StatusView, DatabaseUnavailable)
async def readyz(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Report that the database answers too."""
    await services.database.ping()
    return b'{"status":"ready"}'


@_open("/v1/openapi.json", DescriptionView)
async def show_description(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read the OpenAPI description of this API."""
    return services.description
