"""`python -m proofs.simulation`: run seeds, replay one, or check that seeded bugs are found."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click
from proofs.simulation.bugs import BUGS
from proofs.simulation.running import HistoryResult, run_seeds
from proofs.simulation.seeded_bugs import is_broken_patch
from proofs.simulation.server import Server, running

# One job runs these in about a minute. Seconds would fail a busy machine, not a weak simulation.
BUG_HISTORIES: Final = 600
_TELL_SECONDS: Final = 10.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Simulate refpay's payment core: virtual time, scripted faults, a real PostgreSQL.

    Example: python -m proofs.simulation run --seeds 200
    """


@main.command()
@click.option(
    "--seeds", default=10_000, show_default=True, type=click.IntRange(1, 10_000_000), help="How many."
)
@click.option("--first", default=1, show_default=True, type=click.IntRange(0), help="The first seed.")
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, progress on stderr.")
def run(seeds: int, first: int, jobs: int, as_json: bool) -> None:
    """Run histories; exit 1 at the first broken invariant, with the command that replays it.

    Example: python -m proofs.simulation run --seeds 200 --jobs 4
    """
    _exit(_run(range(first, first + seeds), jobs, as_json=as_json))


@main.command()
@click.argument("seed", type=click.IntRange(0))
@click.option("--bug", type=click.Choice(sorted(BUGS)), help="Plant this bug first.")
def replay(seed: int, bug: str | None) -> None:
    """Run one history and print every step.

    Example: python -m proofs.simulation replay 4711
    """
    _exit(_replay(seed, bug))


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(BUGS)))
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(1, 64), help="Bugs searched for at once."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, progress on stderr.")
def bugs(names: tuple[str, ...], jobs: int, as_json: bool) -> None:
    """Plant each bug (or those named) and count the histories until it is found; exit 1 if one is not.

    Every search starts with seed 1, so a bug is found by the same seed each time.

    Example: python -m proofs.simulation bugs timeout-is-final
    """
    _exit(_find_bugs(names or tuple(BUGS), jobs, as_json=as_json))


def _exit(work: Coroutine[Any, Any, int]) -> None:
    sys.exit(asyncio.run(work))


@asynccontextmanager
async def _server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        async with running(Path(folder)) as server:
            yield server


async def _run(seeds: range, jobs: int, *, as_json: bool) -> int:
    done = steps = 0
    broken: HistoryResult | None = None
    async with _server() as server:
        begun = told = time.monotonic()
        async for found in run_seeds(server, seeds, jobs=jobs):
            done, steps = done + 1, steps + found.steps
            if found.violation is not None:
                broken = found
                break
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                click.echo(f"{done} of {len(seeds)} histories, {told - begun:.0f} s", err=True)
        seconds = time.monotonic() - begun
    if as_json:
        result: dict[str, object] = {"histories": done, "steps": steps, "seconds": round(seconds, 1)}
        click.echo(
            json.dumps(result | {"broken": broken and {"seed": broken.seed, "violation": broken.violation}})
        )
    else:
        click.echo(f"{done} histories, {steps} steps, {seconds:.0f} s: {done / seconds:.1f} a second")
    if broken is None:
        return 0
    click.echo("\n".join(broken.trace[-30:]), err=True)
    click.echo(f"seed {broken.seed} broke an invariant: {broken.violation}", err=True)
    click.echo(f"replay it: python -m proofs.simulation replay {broken.seed}", err=True)
    return 1


async def _replay(seed: int, bug: str | None) -> int:
    async with _server() as server:
        async for found in run_seeds(server, range(seed, seed + 1), jobs=1, bug=bug, trace=True):
            click.echo("\n".join(found.trace))
            click.echo(f"seed {seed}: {found.violation or 'every invariant held'}")
            return 1 if found.violation else 0
    return 1


async def _find_bugs(names: tuple[str, ...], jobs: int, *, as_json: bool) -> int:
    results: dict[str, dict[str, object]] = {}
    free = [f"simulation_{number}" for number in range(jobs)]
    places = asyncio.Semaphore(jobs)

    async def search(server: Server, name: str) -> None:
        async with places:
            database = free.pop()
            begun, found = time.monotonic(), await _find_bug(server, name, database)
            free.append(database)
        seconds = round(time.monotonic() - begun, 1)
        results[name] = {
            "seconds": seconds,
            "seed": found and found.seed,
            "violation": found and found.violation,
        }
        how = f"seed {found.seed}: {found.violation}" if found else "NOT FOUND"
        click.echo(f"{name:28} {seconds:5.1f} s  {how}"[:160], err=as_json)

    async with _server() as server, asyncio.TaskGroup() as searches:
        for name in names:
            searches.create_task(search(server, name))
    if as_json:
        click.echo(json.dumps(results))
    return 0 if all(result["seed"] is not None for result in results.values()) else 1


async def _find_bug(server: Server, name: str, database: str) -> HistoryResult | None:
    """Return the first history that a bug breaks; None if there is none or if the patch itself is broken."""
    seeds = range(1, BUG_HISTORIES + 1)
    async with aclosing(run_seeds(server, seeds, jobs=1, bug=name, database=database)) as histories:
        async for found in histories:
            if found.violation is not None:
                return None if is_broken_patch(found.violation) else found
    return None


if __name__ == "__main__":
    main()
