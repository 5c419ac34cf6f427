"""The instant of a scrape is that of its sample, and not of the question."""

from pathlib import Path

import pytest
import yaml

from moneypath.prometheus import QueryFailed, Sample
from moneypath.workflows.last_scrapes import await_last_scrapes, scraped_query

from .conftest import RunTool

JOBS = ("api", "worker")


def test_the_query_tells_when_the_last_scrape_was(tmp_path: Path, promtool: RunTool) -> None:
    """Asked at 7 s, scraped at 5 s: 5, and nothing of a process that did not answer."""
    expected = [
        {"labels": '{job="api", instance="api"}', "value": 5},
    ]
    document = {
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": 'up{job="api", instance="api"}', "values": "1 1"},
                    {"series": 'up{job="worker", instance="worker"}', "values": "1 0"},
                    {"series": 'up{job="other", instance="other"}', "values": "1 1"},
                ],
                "promql_expr_test": [
                    {"expr": scraped_query(JOBS), "eval_time": "7s", "exp_samples": expected}
                ],
            }
        ],
    }
    (tmp_path / "scrapes.test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    result = promtool("test", "rules", "scrapes.test.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


class Scraped:
    """Answers with one scrape after the other."""

    def __init__(self, *answers: tuple[float, ...]) -> None:
        self._answers = list(answers)

    async def query(self, promql: str, /) -> tuple[Sample, ...]:
        """Return the next answer, and the last one again."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return tuple(Sample({}, at) for at in answer)


async def test_every_process_has_to_be_scraped_after_the_instant() -> None:
    """The later of both scrapes is the edge."""
    source = Scraped((9.0, 10.5), (10.2, 10.5))
    assert await await_last_scrapes(source, JOBS, after=10.0, within_seconds=5) == 10.5


@pytest.mark.parametrize("answer", [(), (11.0,), (9.0, 11.0)])
async def test_a_process_that_is_not_scraped_is_an_error(answer: tuple[float, ...]) -> None:
    """What it counted last is not known."""
    with pytest.raises(QueryFailed, match="Not every process answered a scrape within 0 s: api, worker"):
        await await_last_scrapes(Scraped(answer), JOBS, after=10.0, within_seconds=0)
