"""The acquirer as a process: quick to start and stop, durable under SIGKILL, plain about its failures."""

import asyncio
import json
import signal
import socket
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from acquirers.cli import main
from acquirers.errors import FlagsInvalid, SecretMissing
from acquirers.settings import DialectName, WebhookSettings, read_secret, read_settings
from acquirers.settlement import Exchange, Fees

if TYPE_CHECKING:
    from tests.acquirers.conftest import Launch

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
GOOD = ["--name", "north", "--dialect", "north", "--port", "0", "--book", "b.db", "--secrets-folder", "s"]


@DIALECTS
async def test_a_kill_keeps_every_answered_operation(launch: "Launch", dialect: str) -> None:
    """After SIGKILL amid traffic the next process knows all that was answered, replays it, and is healthy."""
    first = await launch(dialect)
    assert first.start_seconds < 5  # a generous bound for a loaded machine; idle it takes half a second
    await first.client.fault("drop", rate=0.2)
    answered: dict[str, str] = {}

    async def buy(number: int) -> None:
        try:
            answer = await first.client.authorize(f"key-{number}", reference=f"order-{number}")
        except aiohttp.ClientError:
            return  # cut off or refused by the kill
        if answer.status:
            answered[f"key-{number}"] = answer.id
        if len(answered) == 50 and first.process.returncode is None:
            first.process.kill()

    await asyncio.gather(*(buy(number) for number in range(300)))
    assert await first.process.wait() == -signal.SIGKILL
    second = await launch(dialect)
    rows = {row["key"]: row for row in await second.client.truth()}
    assert 50 <= len(answered) < 300
    assert {key: rows[key]["provider_reference"] for key in answered} == answered
    for key, reference in list(answered.items())[:5]:
        replay = await second.client.authorize(key, reference=f"order-{key.removeprefix('key-')}")
        assert replay.id == reference
    assert len(await second.client.truth()) == len(rows)
    assert (await second.client.control("GET", "/control/faults")).body == {"faults": []}


@DIALECTS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_at_once_with_requests_hanging(
    launch: "Launch", dialect: str, number: signal.Signals
) -> None:
    """Hanging and delayed requests, of half a minute each, hold up no stop, and keep their effect."""
    acquirer = await launch(dialect)
    client = acquirer.client
    await client.fault("hang", latency_seconds=30, scope={"currencies": ["EUR"]})
    await client.fault("delay", latency_seconds=30)
    calls = [client.authorize(f"key-{n}", currency="EUR" if n % 2 else "USD") for n in range(10)]
    tasks = [asyncio.create_task(call) for call in calls]
    while len(await client.truth()) < 10:
        assert not any(task.done() for task in tasks)
    began = time.monotonic()
    acquirer.process.send_signal(number)
    assert await acquirer.process.wait() == 0
    assert time.monotonic() - began < 15
    answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers[1::2]] == [0] * 5
    again = await launch(dialect)
    assert len(await again.client.truth()) == 10


async def test_a_real_lease_runs_out(launch: "Launch") -> None:
    """On the machine's own clock a fault ends by itself, and not before its time."""
    client = (await launch("north")).client
    began = time.monotonic()
    await client.fault("refuse", lease_seconds=0.5)
    while (await client.authorize("key")).status == 503:
        assert time.monotonic() - began < 30
    assert time.monotonic() - began >= 0.5


async def run(*flags: str) -> tuple[int | None, str, str]:
    """Run the command line to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "acquirers",
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


def assert_one_sentence(err: str, said: str) -> None:
    """One line, no stack trace, and the cause in it."""
    assert err.startswith("acquirers: ")
    assert err.count("\n") == 1
    assert said in err


async def test_failures_to_start_are_one_sentence(tmp_path: Path, secrets_folder: Path) -> None:
    """Port, secret, book and flags each fail with their own sentence and a code that is not 0."""
    flags = ["--name", "north", "--dialect", "north", "--secrets-folder", str(secrets_folder)]
    book = ["--book", str(tmp_path / "book.db")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = await run(*flags, *book, "--port", port)
        assert (code, out) == (1, "")
        assert_one_sentence(err, f"port {port} of 127.0.0.1 cannot be listened on")
    code, _, err = await run(*flags, "--book", str(tmp_path / "none" / "book.db"), "--port", "0")
    assert code == 1
    assert_one_sentence(err, "none/book.db cannot be written")
    code, _, err = await run(*flags[:2], "--dialect", "south", *flags[4:], *book, "--port", "0")
    assert code == 1
    assert_one_sentence(err, "belongs to acquirer north (dialect north), not to north (dialect south)")
    code, _, err = await run(*flags, *book, "--port", "0", "--settlement-period-seconds", "2")
    assert code == 1
    assert_one_sentence(err, "settles every 86400 s, not every 2 s: give --settlement-period-seconds 86400")
    (secrets_folder / "north_control_token").unlink()
    code, _, err = await run(*flags, *book, "--port", "0")
    assert code == 1
    assert_one_sentence(err, "north_control_token cannot be read (No such file or directory)")
    code, _, err = await run(*flags, *book, "--port", "none")
    assert code == 2
    assert_one_sentence(err, "argument --port: invalid int value: 'none'")


async def test_help_shows_an_example() -> None:
    """--help answers with code 0, an example and what the secrets are called."""
    code, out, _ = await run("--help")
    assert code == 0
    assert "python -m acquirers --name north --dialect north --port 0" in out
    assert "<name>_control_token" in out


def test_flags_become_settings() -> None:
    """Defaults are three percent, five milliseconds, a report a day, and the agreed fees."""
    settings = read_settings(GOOD)
    assert (settings.name, settings.dialect, settings.port) == ("north", DialectName.NORTH, 0)
    assert (settings.book, settings.secrets_folder) == (Path("b.db"), Path("s"))
    assert (settings.decline_rate, settings.latency_seconds) == (0.03, 0.005)
    changed = read_settings([*GOOD, "--decline-rate", "1", "--latency-ms", "0.5"])
    assert (changed.decline_rate, changed.latency_seconds) == (1.0, 0.0005)
    assert (settings.authorization_lifetime_seconds, settings.webhook) == (604_800, None)
    told = read_settings([*GOOD, "--webhook-url", "http://h:1/x?y=z", "--webhook-attempts", "3"])
    assert told.webhook == WebhookSettings("http://h:1/x?y=z", attempts_max=3)
    assert settings.settlement_period_seconds == 86_400
    assert settings.fees == Fees(140, {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35})
    changed = read_settings(
        [
            *GOOD,
            "--settlement-period-seconds",
            "2",
            "--fee-basis-points",
            "0",
            "--fee-fixed",
            "KWD=0,JPY=1,USD=2,EUR=1000000",
        ]
    )
    assert changed.settlement_period_seconds == 2
    assert changed.fees == Fees(0, {"EUR": 1_000_000, "USD": 2, "JPY": 1, "KWD": 0})
    assert settings.exchanges == {}
    changed = read_settings([*GOOD, "--settle-in", "JPY=EUR@0.0061,EUR=KWD@3"])
    assert changed.exchanges == {
        "JPY": Exchange("EUR", Fraction(61, 10_000)),
        "EUR": Exchange("KWD", Fraction(3)),
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "required: --name"),
        ([*GOOD, "--dialect", "east"], "choose from"),
        ([*GOOD, "--name", "../north"], "--name: must be"),
        ([*GOOD, "--port", "65536"], "--port: must be from 0 to 65535"),
        ([*GOOD, "--decline-rate", "nan"], "--decline-rate: must be from 0 to 1"),
        ([*GOOD, "--decline-rate", "1.1"], "--decline-rate: must be from 0 to 1"),
        ([*GOOD, "--latency-ms", "-1"], "--latency-ms: must be from 0 to 10000"),
        ([*GOOD, "--colour", "red"], "--colour"),
        (
            [*GOOD, "--authorization-lifetime-seconds", "0"],
            "--authorization-lifetime-seconds: must be",
        ),
        ([*GOOD, "--webhook-url", "ftp://shop/x"], "--webhook-url: must be an http or https URL"),
        ([*GOOD, "--webhook-url", "http://a:hunter2@shop/x"], "--webhook-url: must be an http or https URL"),
        ([*GOOD, "--webhook-url", "http://["], "--webhook-url: must be an http or https URL"),
        ([*GOOD, "--webhook-url", "http://shop/x", "--webhook-attempts", "0"], "--webhook-attempts: must be"),
        ([*GOOD, "--settlement-period-seconds", "0"], "--settlement-period-seconds: must be from 1 to 86400"),
        ([*GOOD, "--settlement-period-seconds", "86401"], "--settlement-period-seconds: must be"),
        ([*GOOD, "--fee-basis-points", "10001"], "--fee-basis-points: must be from 0 to 10000"),
        ([*GOOD, "--fee-basis-points", "1.5"], "--fee-basis-points: invalid int"),
        ([*GOOD, "--fee-fixed", "EUR=10"], "--fee-fixed: must name EUR, USD, JPY, KWD once each"),
        ([*GOOD, "--fee-fixed", "EUR=1,USD=1,JPY=1,KWD=1,EUR=1"], "--fee-fixed: must name"),
        ([*GOOD, "--fee-fixed", "EUR=1,USD=1,JPY=1,KWD=1000001"], "--fee-fixed: must name"),
        ([*GOOD, "--fee-fixed", ""], "--fee-fixed: must name"),
        *(
            ([*GOOD, "--settle-in", wrong], "--settle-in: must be such as")
            for wrong in (
                "",
                "EUR",
                "EUR=EUR@1",
                "EUR=USD@0",
                "EUR=USD@0.0",
                "EUR=USD@-1",
                "EUR=USD@1e3",
                "CHF=EUR@1",
                "EUR=CHF@1",
                "EUR=USD@1,EUR=JPY@1",
                "EUR=USD@1,",
                "EUR=USD@1/3",
                "EUR=USD@1234567890",
                "EUR=USD@0.1234567890123",
            )
        ),
    ],
)
def test_bad_flags_say_what_is_allowed(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each wrong flag has a sentence that names it, and exit code 2."""
    with pytest.raises(FlagsInvalid, match=said):
        read_settings(flags)
    assert main(flags) == 2
    assert_one_sentence(capsys.readouterr().err, said)


def test_secrets_are_read_without_white_space(tmp_path: Path) -> None:
    """A trailing new line is no part of a secret; empty, absent and huge files are refused."""
    (tmp_path / "good").write_text("  word\n")
    assert read_secret(tmp_path, "good") == b"word"
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "huge").write_text("x" * 4097)
    for name in ("empty", "huge", "absent"):
        with pytest.raises(SecretMissing, match=f"{name} (must hold|cannot be read)") as caught:
            read_secret(tmp_path, name)
        assert "xxx" not in json.dumps(caught.value.detail)
