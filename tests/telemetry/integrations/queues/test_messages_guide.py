"""The guide to consumers shows lines of the examples, which are run elsewhere."""

import re
from pathlib import Path

import pytest

from moneypath.telemetry.catalogue.label_sets import OPTIONAL_LABEL_SETS
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason, MessageOutcome
from moneypath.telemetry.integrations import messages

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "docs" / "guides" / "messages.md").read_text(encoding="utf-8")
SECTIONS = dict(zip(*[iter(re.split(r"^## (.*)\n", GUIDE, flags=re.MULTILINE)[1:])] * 2, strict=True))


@pytest.mark.parametrize(
    ("section", "example"),
    [
        ("A handler that gives a message up", "nats_consumer.py"),
        ("NATS JetStream", "nats_consumer.py"),
        ("RabbitMQ", "rabbitmq_consumer.py"),
        ("Kafka", "kafka_consumer.py"),
        ("Celery", "celery_worker.py"),
    ],
)
def test_every_line_of_code_stands_in_the_example(section: str, example: str) -> None:
    """A reader copies only code that was run."""
    code = "".join(re.findall(r"```python\n(.*?)```", SECTIONS[section], flags=re.DOTALL))
    ours = (ROOT / "examples" / example).read_text(encoding="utf-8")
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    assert lines
    assert [line for line in lines if line not in ours] == []


def test_the_guide_names_the_closed_sets_and_the_bounds() -> None:
    """Every value is named, and every limit is right."""
    names = {*DeadLetterReason, *MessageOutcome, *OPTIONAL_LABEL_SETS["queues"]}
    assert [name for name in sorted(names) if f"`{name}`" not in GUIDE] == []
    assert f"At most {messages.HEADERS_LIMIT} " in GUIDE
    assert f"more than {messages.VALUE_LENGTH_LIMIT} characters" in GUIDE
    assert [
        name for name in SECTIONS["Run it"].split() if name.endswith(".py") and not (ROOT / name).exists()
    ] == []
