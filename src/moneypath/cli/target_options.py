"""Options that name a target: its file, the values of its variables, the environment that may be broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from moneypath.path.source import DeclarationInvalid
from moneypath.target.errors import TargetInvalid
from moneypath.target.loader import Target, load_target, read_variables

Command = TypeVar("Command", bound=Callable[..., Any])


def _pairs(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, mark, _value in pairs:
        if not mark:
            raise click.BadParameter(f"{name!r}; allowed: NAME=VALUE", param=parameter)
    return {name: value for name, _mark, value in pairs}


_VALUES = (
    click.option(
        "--set", "given", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="Value of a variable."
    ),
    click.option(
        "--variables",
        type=click.Path(path_type=Path, dir_okay=False),
        help="JSON file with values of variables.",
    ),
)
_ENVIRONMENT = click.option(
    "--environment",
    metavar="NAME",
    help="What changes the service is done only here: it is drillable, and runs where you think.",
)

target_option = click.option(
    "--target",
    "target_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of a deployed service to do it with, instead of a stack of its own.",
)


def value_options(command: Command) -> Command:
    """Add the options by which the variables of a file get their values."""
    for option in reversed(_VALUES):
        command = option(command)
    return command


def variable_options(command: Command) -> Command:
    """Add the options of a target's file: the values of its variables, and what may be broken."""
    return value_options(_ENVIRONMENT(command))


def read_target(file: Path, given: dict[str, str], variables: Path | None) -> Target:
    """Return the target of `file`; raises TargetInvalid and VariableMissing."""
    known = {} if variables is None else read_variables(variables)
    try:
        return load_target(file, given, known)
    except DeclarationInvalid as error:
        raise TargetInvalid(error.what, hint=error.hint) from None
