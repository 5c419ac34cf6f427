"""Wait for scrapes, so that the edges of a window are samples."""

from typing import Final

from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus, QueryFailed, Sample

POLL_SECONDS: Final = 0.1


async def await_scrapes(
    prometheus: Prometheus, jobs: tuple[str, ...], after: float, within_seconds: float
) -> float:
    """Wait until each job was scraped after an instant, and return when the last of them was.

    Both are Unix seconds. Raises QueryFailed when a job was not scraped in time.
    """
    names = "|".join(jobs)

    async def scraped() -> tuple[Sample, ...]:
        return await prometheus.query(f'timestamp(up{{job=~"{names}"}} == 1)')

    def all_scraped(samples: tuple[Sample, ...]) -> bool:
        return len(samples) >= len(jobs) and min(sample.value for sample in samples) > after

    samples = await poll_until(
        scraped, all_scraped, every_seconds=POLL_SECONDS, within_seconds=within_seconds
    )
    if not all_scraped(samples):
        raise QueryFailed(
            f"Not every process answered a scrape within {within_seconds:g} s: {', '.join(jobs)}.",
            hint="Read the log of each in the run folder.",
        )
    return max(sample.value for sample in samples)
