"""What the pager receives: Alertmanager's published webhook format, version 4, and acknowledgements."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_Labels = dict[str, str]


class _Published(BaseModel):
    # Strict types. Unknown keys are allowed, because newer versions may add some.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class WebhookAlert(_Published):
    """One alert of a notification; `ends_at` is in the year 1 while it is firing."""

    status: Literal["firing", "resolved"]
    labels: _Labels
    annotations: _Labels
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime = Field(alias="endsAt")
    generator_url: str = Field(alias="generatorURL")
    fingerprint: str = Field(min_length=1)


class Webhook(_Published):
    """One notification, as in Alertmanager's documentation of `webhook_config`."""

    version: Literal["4"]
    group_key: str = Field(alias="groupKey", min_length=1)
    truncated_alerts: int = Field(alias="truncatedAlerts", ge=0)
    status: Literal["firing", "resolved"]
    receiver: str = Field(min_length=1)
    group_labels: _Labels = Field(alias="groupLabels")
    common_labels: _Labels = Field(alias="commonLabels")
    common_annotations: _Labels = Field(alias="commonAnnotations")
    external_url: str = Field(alias="externalURL")
    alerts: list[WebhookAlert] = Field(min_length=1, max_length=10_000)


class LogHead(BaseModel):
    """The head of an event log: the number and the hash of its last event."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    seq: int = Field(ge=0)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")


class AcknowledgementBody(BaseModel):
    """What may come with an acknowledgement; the pager keeps it as it came."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    log_head: LogHead | None = None


def unix_seconds(moment: datetime) -> float | None:
    """Return the moment as Unix time; None for Go's zero time, which means "not set"."""
    return None if moment.year <= 1 else moment.timestamp()
