"""`moneypath series check` says in a sentence what it needs before it asks any Prometheus."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from moneypath.cli.series_commands import series
from moneypath.errors import MoneypathError

TEN_LINES = """
name: Shop
roles: {eng: {}}
targets: [{job: shop}]
slos: [{kind: availability, id: payments, objective: "0.99"}]
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "one of --prometheus and --target is needed"),
        (["--prometheus", "http://a", "--target", "b.yaml"], "one of --prometheus and --target is needed"),
        (["--prometheus", "localhost:9090"], "begins with http:// or https://"),
    ],
)
def test_which_prometheus_has_to_be_said(arguments: list[str], told: str) -> None:
    """An address, or a target with one; not both."""
    ran = CliRunner().invoke(series, ["check", *arguments])
    assert ran.exit_code == 2
    assert told in ran.output


def test_without_declared_series_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """That is told before anything is asked, since a green answer would prove nothing."""
    (tmp_path / "moneypath.yaml").write_text(TEN_LINES, encoding="utf-8")
    arguments = ["check", "--prometheus", "http://127.0.0.1:9", "--project", str(tmp_path)]
    ran = CliRunner().invoke(series, arguments)
    assert isinstance(ran.exception, MoneypathError)
    assert ran.exception.what == "No series is declared."
