"""Ask Alertmanager for its silences and for the labels that its alerts carry, within bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from moneypath.alerting.errors import SilencesUnknown
from moneypath.alerting.silences.matchers import Matcher
from moneypath.bounded_http import AnswerTooLarge, read_bounded

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
TIMEOUT_SECONDS: Final = 3.0
T = TypeVar("T")


class _Answered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Matcher(_Answered):
    name: str
    value: str
    is_regex: bool = Field(alias="isRegex")
    # Alertmanager before 0.22 does not say it, and has no other.
    is_equal: bool = Field(alias="isEqual", default=True)


class _SilenceStatus(_Answered):
    state: str


class _Silence(_Answered):
    id: str
    status: _SilenceStatus
    matchers: list[_Matcher]
    ends_at: datetime = Field(alias="endsAt")
    created_by: str = Field(alias="createdBy", default="")
    comment: str = ""


class _AlertStatus(_Answered):
    silenced_by: list[str] | None = Field(alias="silencedBy", default=None)


class _Alert(_Answered):
    labels: dict[str, str]
    status: _AlertStatus


_SILENCES: Final = TypeAdapter(list[_Silence])
_ALERTS: Final = TypeAdapter(list[_Alert])


@dataclass(frozen=True, slots=True)
class Silence:
    """An active silence; `ends_at` is Unix time, `created_by` and `comment` are what its author wrote."""

    id: str
    matchers: tuple[Matcher, ...]
    ends_at: float
    created_by: str
    comment: str


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """An alert that Alertmanager holds, with the ids of the silences that mute it."""

    labels: Mapping[str, str]
    silenced_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """One Alertmanager, by its URL without `/api`. Its methods raise SilencesUnknown."""

    url: str
    token: str = field(default="", repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS

    async def active_silences(self) -> tuple[Silence, ...]:
        """Return the silences that mute now; pending and expired ones are left out."""
        listed = await self._get("silences", (), _SILENCES)
        return tuple(_silence(each) for each in listed if each.status.state == "active")

    async def alerts(self, names: Sequence[str]) -> tuple[FiringAlert, ...]:
        """Return the alerts of these names that it holds, silenced and inhibited ones included."""
        asked = [("filter", f'alertname=~"{"|".join(names)}"')]
        asked += [(state, "true") for state in ("active", "silenced", "inhibited", "unprocessed")]
        listed = await self._get("alerts", asked, _ALERTS)
        return tuple(FiringAlert(each.labels, frozenset(each.status.silenced_by or ())) for each in listed)

    async def _get(
        self, path: str, parameters: Sequence[tuple[str, str]], kind: TypeAdapter[list[T]]
    ) -> list[T]:
        url = f"{self.url.rstrip('/')}/api/v2/{path}"
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.get(url, params=list(parameters), allow_redirects=False) as answer,
            ):
                status, content = answer.status, await read_bounded(answer, ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._unknown(_reason(error, self.timeout_seconds)) from error
        if status != 200:
            raise self._unknown(f"it answered {status}")
        try:
            return kind.validate_json(content)
        except ValidationError as error:
            raise self._unknown(f"its answer on /api/v2/{path} is none of Alertmanager's") from error

    def _unknown(self, reason: str) -> SilencesUnknown:
        return SilencesUnknown(
            f"Alertmanager at {_without_password(self.url)} does not say which silences it has: {reason}.",
            hint="Check that it runs there and that it may be asked; give its address without /api.",
        )


def _silence(found: _Silence) -> Silence:
    matchers = tuple(
        Matcher(each.name, each.value, is_regex=each.is_regex, is_equal=each.is_equal)
        for each in found.matchers
    )
    return Silence(found.id, matchers, found.ends_at.timestamp(), found.created_by, found.comment)


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, AnswerTooLarge):
        return f"its answer has {error}"
    return str(error) or type(error).__name__


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
