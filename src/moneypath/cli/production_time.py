"""Say what a time of a drill means in production."""

from typing import Final

from moneypath.alerting.timing import LIVE, PRODUCTION

AFTER_REPORT: Final = "after the next report"


def in_production(scale: int) -> str:
    """Return how a dilated time compares with production's.

    A live stack scrapes every second at any scale but 1, and no window falls below four scrapes. So a dilated
    time is too long as soon as its second stands for more than a scrape interval of production.
    """
    if scale == 1:
        return "in production"
    most = scale * LIVE.scrape_seconds >= PRODUCTION.scrape_seconds
    return f"in production, {'at most' if most else 'about'}"
