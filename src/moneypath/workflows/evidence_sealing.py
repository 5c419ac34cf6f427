"""Seal an evidence bundle: sign it, have it time-stamped, anchor it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.incidents import anchors
from moneypath.incidents.events import Event, LogHead
from moneypath.incidents.evidence_files import MANIFEST, SIGNATURE, TIMESTAMP, read_bytes, sha256
from moneypath.incidents.manifest import FORMAT, RUN_KEY, parse_manifest
from moneypath.incidents.signing import Signer, load_key_file, load_plugin, sign
from moneypath.incidents.timestamps import request_timestamp
from moneypath.incidents.verification import References
from moneypath.workflows.evidence_verification import verify


class SealIncomplete(MoneypathError):
    """A bundle that was written, and could not be sealed as it was asked to be."""

    code = "seal_incomplete"


@dataclass(frozen=True, slots=True)
class SealPlan:
    """How a bundle is sealed; nothing of it is needed for a bundle."""

    signer: Signer | None = None
    timestamp_url: str | None = None
    anchor_file: Path | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return self.signer is None and self.timestamp_url is None and self.anchor_file is None

    def anchor_start(self) -> Callable[[Event], None]:
        """Return a listener that anchors the first event of a log: a run that began cannot vanish."""

        def listen(event: Event) -> None:
            if self.anchor_file is not None and event.seq == 1:
                head = LogHead(event.seq, event.hash)
                anchors.append(self.anchor_file, anchors.new_anchor(str(event.payload[RUN_KEY]), head))

        return listen


UNSEALED: Final = SealPlan()


def prepare_seal(
    *, key_file: Path | None, plugin: str | None, timestamp_url: str | None, anchor_file: Path | None
) -> SealPlan:
    """Return how to seal, after a look at keys and files: better before a drill than after it."""
    signer = load_key_file(key_file) if key_file else load_plugin(plugin) if plugin else None
    if anchor_file is not None:
        anchors.check_writable(anchor_file)
    return SealPlan(signer, timestamp_url, anchor_file)


async def seal(folder: Path, plan: SealPlan) -> None:
    """Sign, time-stamp and anchor a bundle, as far as the plan says so.

    Raises SealIncomplete when one of it fails; the bundle stays, and can be sealed later.
    """
    try:
        manifest = read_bytes(folder / MANIFEST)
        signature = read_bytes(folder / SIGNATURE) if (folder / SIGNATURE).exists() else None
        if plan.signer is not None:
            if (folder / TIMESTAMP).exists():
                raise SealIncomplete(
                    "the bundle was time-stamped without a signature",
                    hint="A signature comes before the time-stamp: remove timestamp.tsr to replace it.",
                )
            made = await asyncio.to_thread(sign, plan.signer, manifest, datetime.now(UTC))
            signature = made.to_bytes()
            _write_new(folder / SIGNATURE, signature)
        if plan.timestamp_url is not None:
            token = await request_timestamp(plan.timestamp_url, signature or manifest)
            _write_new(folder / TIMESTAMP, token)
        if plan.anchor_file is not None:
            anchors.append(plan.anchor_file, _final_anchor(manifest, signature))
    except MoneypathError as error:
        raise SealIncomplete(
            f"the bundle is written and not sealed as asked: {error.what}",
            hint=f"{error.hint} Then: moneypath drill seal {folder}".lstrip(),
        ) from error


async def seal_checked(folder: Path, plan: SealPlan) -> None:
    """Seal a bundle after the drill, unless something in it is broken: a seal vouches for what it is on."""
    found = verify(folder, References())
    if found.divergences:
        first = found.divergences[0]
        raise SealIncomplete(
            f"nothing was sealed: {first.link}: {first.what}", hint="Seal a bundle as the drill wrote it."
        )
    if found.format != FORMAT:
        raise SealIncomplete(
            f"nothing was sealed: the bundle is not of format {FORMAT}",
            hint="Run the drill again, and seal that bundle.",
        )
    await seal(folder, plan)


def _final_anchor(manifest: bytes, signature: bytes | None) -> anchors.Anchor:
    content = parse_manifest(manifest)
    return anchors.new_anchor(
        content.run,
        LogHead(content.head.seq, content.head.hash),
        manifest=sha256(manifest),
        signature=None if signature is None else sha256(signature),
    )


def _write_new(file: Path, content: bytes) -> None:
    try:
        with file.open("xb") as stream:
            stream.write(content)
    except OSError as error:
        raise SealIncomplete(f"{file.name} cannot be written ({error.strerror})") from None
