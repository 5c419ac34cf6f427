"""What machines of the house ask, so without a token."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from refpay.app.bodies import NoQuery
from refpay.app.contract import Auth, Demand, Endpoint, Waived
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable

_HOUSE: Final = Waived("it says nothing about anybody")


class StatusView(BaseModel):
    """How the process is."""

    status: Literal["alive", "ready"]


class DescriptionView(BaseModel):
    """This description."""

    model_config = ConfigDict(extra="allow")

    openapi: str


@Endpoint("GET", "/healthz", NoQuery, {200: StatusView}, auth=Auth.NONE, scopes=_HOUSE)
async def healthz(_services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Say that the process answers."""
    return b'{"status":"alive"}'


@Endpoint(
    "GET",
    "/readyz",
    NoQuery,
    {200: StatusView},
    auth=Auth.NONE,
    scopes=_HOUSE,
    problems=(DatabaseUnavailable,),
)
async def readyz(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Say that its database answers too."""
    await services.database.ping()
    return b'{"status":"ready"}'


@Endpoint("GET", "/v1/openapi.json", NoQuery, {200: DescriptionView}, auth=Auth.NONE, scopes=_HOUSE)
async def show_description(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read this description."""
    return services.description
