"""Where `moneypath generate` writes, relative to the folder of the declaration."""

from typing import Annotated

from pydantic import Field

from moneypath.path.parts import Declared

_PLACE = r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*"

OutputFolder = Annotated[
    str,
    Field(
        pattern=rf"^{_PLACE}$",
        max_length=200,
        description="a folder inside the project, such as alerts or ops/alerts",
    ),
]
JsonFile = Annotated[
    str,
    Field(
        pattern=rf"^(?:{_PLACE}/)?[A-Za-z0-9_][A-Za-z0-9._-]*\.json$",
        max_length=200,
        description="a file inside the project that ends in .json, such as src/shop/catalogue.json",
    ),
]


class Outputs(Declared):
    """The files that services read, and the folders of everything else.

    `costs` is written for a declaration with costs alone, `compose` only where it is declared.
    """

    catalogue: JsonFile = "catalogue.json"
    costs: JsonFile = "costs.json"
    alerts: OutputFolder = "alerts"
    dashboards: OutputFolder = "dashboards"
    docs: OutputFolder = "docs"
    compose: OutputFolder | None = Field(
        default=None,
        description="a folder inside the project, or null: routes to the pager of a compose.yaml",
    )
