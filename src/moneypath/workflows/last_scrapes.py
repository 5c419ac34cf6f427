"""Wait for a scrape of every process, so that the edge of a run is a sample of each."""

from typing import Final, Protocol

from moneypath.polling import poll_until
from moneypath.prometheus import QueryFailed, Sample

POLL_SECONDS: Final = 0.1


class QuerySource(Protocol):
    """Answers instant queries; a Prometheus client does."""

    async def query(self, promql: str, /) -> tuple[Sample, ...]: ...


def scraped_query(jobs: tuple[str, ...]) -> str:
    """Return PromQL for the instant of each job's last scrape, if it was answered.

    `timestamp` of anything but a selector is the time of the query, not of the scrape.
    """
    up = f'up{{job=~"{"|".join(jobs)}"}}'
    return f"timestamp({up}) and on (job, instance) {up} == 1"


async def await_last_scrapes(
    source: QuerySource, jobs: tuple[str, ...], after: float, within_seconds: float
) -> float:
    """Wait until each job was scraped after an instant, and return when the last of them was.

    Both are Unix seconds. Raises QueryFailed when a job was not scraped in time.
    """

    def all_scraped(samples: tuple[Sample, ...]) -> bool:
        return len(samples) >= len(jobs) and min(sample.value for sample in samples) > after

    async def scraped() -> tuple[Sample, ...]:
        return await source.query(scraped_query(jobs))

    samples = await poll_until(
        scraped, all_scraped, every_seconds=POLL_SECONDS, within_seconds=within_seconds
    )
    if not all_scraped(samples):
        raise QueryFailed(
            f"Not every process answered a scrape within {within_seconds:g} s: {', '.join(jobs)}.",
            hint="Read the log of each in the run folder.",
        )
    return max(sample.value for sample in samples)
