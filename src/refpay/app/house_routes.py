"""What machines of the house ask, so without a token."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from refpay.app.bodies import NoQuery
from refpay.app.contract import Auth, Demand, Endpoint, Problem, Waived
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable


class StatusView(BaseModel):
    """How the process is."""

    status: Literal["alive", "ready"]


class DescriptionView(BaseModel):
    """This description."""

    model_config = ConfigDict(extra="allow")

    openapi: str


def _open(path: str, view: type[BaseModel], *problems: Problem) -> Endpoint[NoQuery]:
    scopes = Waived("it says nothing about anybody")
    return Endpoint("GET", path, NoQuery, {200: view}, auth=Auth.NONE, scopes=scopes, problems=problems)


@_open("/healthz", StatusView)
async def healthz(_services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Say that the process answers."""
    return b'{"status":"alive"}'


@_open("/readyz", StatusView, DatabaseUnavailable)
async def readyz(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Say that its database answers too."""
    await services.database.ping()
    return b'{"status":"ready"}'


@_open("/v1/openapi.json", DescriptionView)
async def show_description(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read this description."""
    return services.description
