"""Ask a target something that its file tells: send the request or run the command, and judge the answer."""

import json
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import aiohttp

from moneypath.bounded_http import AnswerTooLarge, read_bounded
from moneypath.secret_files import SECRET_BYTES_MAX
from moneypath.target.access import Access
from moneypath.target.calls import Call, GoodAnswer, HttpRequest
from moneypath.target.command_run import run_command
from moneypath.target.errors import CallRefused, CallUnanswered
from moneypath.target.loader import Target
from moneypath.target.placeholders import Argument, JsonValue, fill, fill_url, set_places

ANSWER_BYTES_MAX: Final = 1024 * 1024
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answered: an HTTP status or an exit code, its JSON if it is any, and how long it took."""

    status: int
    body: JsonValue
    text: str
    seconds: float

    @property
    def is_object_or_empty(self) -> bool:
        """Whether it is a JSON object, or nothing; anything else may be cut off, or of somebody else."""
        return isinstance(self.body, dict) or not self.text.strip()

    @property
    def fields(self) -> Mapping[str, JsonValue]:
        """Return the keys of the JSON object that it is, none if it is none."""
        return self.body if isinstance(self.body, dict) else {}

    def field(self, path: str, chosen: object = None) -> JsonValue:
        """Return the value at a path of keys joined by dots; None where there is none.

        `key[name]` is the item of the list at `key` whose `name` is what was `chosen`.
        """
        value: JsonValue = self.body
        for part in path.split("."):
            key, _, name = part.rstrip("]").partition("[")
            value = value.get(key) if isinstance(value, dict) else None
            if name:
                items = value if isinstance(value, list) else []
                named = (item for item in items if isinstance(item, dict) and item.get(name) == chosen)
                value = next(named, None)
        return value

    def number(self, path: str, chosen: object = None) -> float | None:
        """Return the finite number at a path; None where there is anything else."""
        value = self.field(path, chosen)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Asks one target, with its secrets; each call has a session of its own and its time limit."""

    target: Target
    access: Access

    @classmethod
    def of(cls, target: Target) -> Self:
        """Return an exchange with `target`."""
        return cls(target, Access(target))

    async def ask(
        self,
        call: Call,
        arguments: Mapping[str, Argument] | None = None,
        *,
        place: str | None = None,
        role: str | None = None,
    ) -> Answer:
        """Ask and return a good answer; `role` is who asks, and may stand in the names of secrets' files.

        Raises CallRefused for another answer than the file calls good, CallUnanswered when there is none in
        time, and SecretFileUnusable before anything is sent.
        """
        answer = await self.send(call, arguments, place=place, role=role)
        if problem := self.problem_with(call, answer):
            raise CallRefused(f"{self.title(call)}: {problem}.", hint=self._shown(answer.text))
        return answer

    async def send(
        self,
        call: Call,
        arguments: Mapping[str, Argument] | None = None,
        *,
        place: str | None = None,
        role: str | None = None,
    ) -> Answer:
        """Ask and return whatever was answered; raises CallUnanswered, and SecretFileUnusable."""
        try:
            return await self._send(call, arguments, place, role)
        except KeyError as error:
            raise CallRefused(f"{self.title(call)}: there is no value for {{{error.args[0]}}}.") from None
        except ValueError as error:
            # An address that is none, or text that cannot be sent; pydantic's errors are some of these.
            what = str(error).splitlines()[0][:SHOWN]
            raise CallRefused(f"{self.title(call)}: cannot be asked: {what}.") from None

    async def _send(
        self, call: Call, arguments: Mapping[str, Argument] | None, place: str | None, role: str | None
    ) -> Answer:
        values = {**(self.target.document.places[place] if place else {}), **({"role": role} if role else {})}
        given = {**(arguments or {}), **({"where": place} if place else {})}
        began = time.monotonic()
        if call.request is not None:
            request = HttpRequest.model_validate(
                set_places(call.request.model_dump(mode="json", by_alias=True), values)
            )
            answer = await self._request(request, given, call.timeout_seconds)
        else:
            words: Any = set_places(list(call.command or ()), values)
            command = [str(fill(word, given)) for word in words]
            answer = await self._command(command, call.timeout_seconds)
        return replace(answer, seconds=time.monotonic() - began)

    @staticmethod
    def problem_with(call: Call, answer: Answer) -> str:
        """Return why an answer is not what the file calls good, or nothing."""
        return _problem(call.good, answer, is_command=call.command is not None)

    def title(self, call: Call) -> str:
        """Return what is asked, without its arguments."""
        return (
            f"{call.request.method} {call.request.url}" if call.request else f"`{(call.command or ('',))[0]}`"
        )

    def _shown(self, text: str) -> str:
        # Masked before it is cut: what is left of a secret may be enough.
        said = self.access.masked(text.strip()[: SHOWN + SECRET_BYTES_MAX])[:SHOWN]
        return f"It said: {said}" if said else ""

    async def _request(self, request: HttpRequest, given: Mapping[str, Argument], seconds: float) -> Answer:
        url = fill_url(request.url, given)
        access = await self.access.of(request)
        headers = {name: str(fill(value, given)) for name, value in request.headers.items()}
        body = None if request.body is None else fill(request.body, given)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
                session.request(
                    request.method,
                    url,
                    json=body,
                    headers={**headers, **access.headers},
                    ssl=access.tls,
                    allow_redirects=False,
                ) as answer,
            ):
                content = await read_bounded(answer, ANSWER_BYTES_MAX)
                status = answer.status
        except AnswerTooLarge as error:
            raise CallUnanswered(f"{request.method} {request.url}: answered {error}.") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError, ValueError) as error:
            what = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise CallUnanswered(
                f"{request.method} {request.url}: {what}.", hint="Check the address, and that it runs."
            ) from None
        return _answer(status, content)

    async def _command(self, command: list[str], seconds: float) -> Answer:
        status, output = await run_command(command, self.target.folder, seconds, ANSWER_BYTES_MAX)
        return _answer(status, output)


def _answer(status: int, content: bytes) -> Answer:
    text = content.decode("utf-8", errors="replace")
    try:
        body: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    return Answer(status, body, text, 0.0)


def _problem(good: GoodAnswer, answer: Answer, *, is_command: bool) -> str:
    if is_command and answer.status != 0:
        return f"ended with exit code {answer.status}"
    if not is_command and answer.status not in good.status:
        return f"answered {answer.status}; good are {', '.join(map(str, good.status))}"
    if good.fields and not isinstance(answer.body, dict):
        return "answered no JSON object"
    for path, wanted in good.fields.items():
        found = answer.field(path)
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            return f"answered without {path}: {json.dumps(wanted)}"
    return ""
