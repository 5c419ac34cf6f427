"""Store pages and acknowledgements in memory and as JSON lines in a file."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from moneypath.stack.errors import StackError
from moneypath.stack.pager.payload import LogHead, Webhook, unix_seconds
from moneypath.telemetry.redaction import redact, redact_values

MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class PagedAlert:
    """One alert of a page; times are Unix seconds, None if not set."""

    name: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: float | None
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """One delivery to one role."""

    seq: int
    at: float
    role: str
    status: str
    group_key: str
    alerts: tuple[PagedAlert, ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The first acknowledgement of a page by its role.

    `log_seq` and `log_hash` are the head that the acknowledging side's event log had then, if it was sent.
    """

    seq: int
    role: str
    principal: str
    at: float
    log_seq: int | None = None
    log_hash: str | None = None


class PageStore:
    """Appends pages and acknowledgements to a file, and reads them back at its start.

    Every line is flushed to the operating system, so it survives the end of this process but not a power cut.
    Heartbeats are counted and not stored: one a second would fill the file.
    """

    def __init__(self, file: Path) -> None:
        self.pages: list[Page] = []
        self.acknowledgements: dict[int, Acknowledgement] = {}
        file.touch(mode=0o600, exist_ok=True)
        self._read(file)
        self._writer: TextIO = file.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    @property
    def is_full(self) -> bool:
        """Whether no more pages are stored."""
        return len(self.pages) >= MOST_PAGES

    def add_page(self, role: str, webhook: Webhook, at: float) -> Page:
        """Store a delivery under the next number. It is redacted, because label values can contain
        anything.
        """
        alerts = tuple(
            PagedAlert(
                name=redact(alert.labels.get("alertname", "")),
                status=alert.status,
                labels=redact_values(alert.labels),
                annotations=redact_values(alert.annotations),
                starts_at=unix_seconds(alert.starts_at),
                ends_at=unix_seconds(alert.ends_at),
            )
            for alert in webhook.alerts
        )
        page = Page(len(self.pages) + 1, at, role, webhook.status, redact(webhook.group_key), alerts)
        self._write({"page": asdict(page)})
        self.pages.append(page)
        return page

    def acknowledge(
        self, seq: int, role: str, at: float, head: LogHead | None = None
    ) -> tuple[Acknowledgement, bool]:
        """Store an acknowledgement; return the first one of this page, and whether it is new."""
        if (earlier := self.acknowledgements.get(seq)) is not None:
            return earlier, False
        made = Acknowledgement(seq, role, f"role_{role}", at)
        if head is not None:
            made = replace(made, log_seq=head.seq, log_hash=head.hash)
        self._write({"acknowledgement": asdict(made)})
        self.acknowledgements[seq] = made
        return made, True

    def _write(self, record: dict[str, Any]) -> None:
        self._writer.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._writer.flush()

    def _read(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        if torn:  # killed while writing: this page was never acknowledged as stored
            file.write_text(whole + "\n" if whole else "", encoding="utf-8")
        for number, line in enumerate(whole.splitlines() if whole else (), start=1):
            try:
                self._restore(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise StackError(
                    f"page store unreadable: {file}:{number}: {error}",
                    hint="Move the file away, and the pager starts a new one.",
                ) from error

    def _restore(self, record: dict[str, Any]) -> None:
        if "page" in record:
            plain = record["page"]
            alerts = tuple(PagedAlert(**each) for each in plain.pop("alerts"))
            self.pages.append(Page(**plain, alerts=alerts))
        else:
            made = Acknowledgement(**record["acknowledgement"])
            self.acknowledgements[made.seq] = made
