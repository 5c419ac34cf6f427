"""Commands of other packages: entry points of `moneypath.commands`, loaded when somebody asks for them."""

from importlib.metadata import EntryPoint, entry_points
from typing import Final, NoReturn

import click

from moneypath.errors import MoneypathError

GROUP: Final = "moneypath.commands"


class CommandUnavailable(MoneypathError):
    """A command of another package that cannot be loaded."""

    code = "command_unavailable"
    exit_code = 2


class PluggableGroup(click.Group):
    """A group that has the commands of installed packages too; a command of its own wins over theirs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *_installed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = _installed().get(cmd_name)
        return None if point is None else load(point)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; an unknown one may belong to a package that is not installed."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as unknown:
            if _installed():
                raise
            said = f"{unknown.format_message()} No package that adds commands is installed here."
            raise click.UsageError(said, ctx) from None


def load(point: EntryPoint) -> click.Command:
    """Return the command of an entry point; if it cannot be loaded, one that says so when it is called."""
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - the help of all other commands must not depend on this one
        return _unavailable(point, f"{type(error).__name__}: {error}")
    if not isinstance(command, click.Command):
        return _unavailable(point, f"{point.value} is no click command")
    return command


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _unavailable(point: EntryPoint, reason: str) -> click.Command:
    def refuse() -> NoReturn:
        raise CommandUnavailable(
            f"The command {point.name} cannot be loaded: {reason}.",
            hint=f"Install what {point.value.partition(':')[0]} needs, or remove its package.",
        )

    return click.Command(
        point.name,
        callback=refuse,
        help="Cannot be loaded: call it to read why.",
        # Whatever is typed behind it, the reason is what to read.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
