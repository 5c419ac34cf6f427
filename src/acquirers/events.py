"""The events that are sent to the merchant, in one format for both dialects."""

import hashlib
import json
from typing import Final
from uuid import UUID

from acquirers.operations import Entry, Kind, Status

_TYPES: Final = {Kind.CHARGEBACK: "chargeback.opened", Kind.CHARGEBACK_REVERSAL: "chargeback.won"}


def describe_event(name: str, entry: Entry) -> bytes:
    """Return the JSON body. The event's id depends on the entry only, so a repeated event has the same id."""
    seed = hashlib.sha256(f"event/{name}/{entry.provider_reference}/{entry.kind}".encode()).digest()
    event: dict[str, object] = {
        "event": str(UUID(bytes=seed[:16], version=4)),
        "type": _TYPES.get(entry.kind, "operation"),
        "key": entry.key,
        "kind": entry.kind,
        "status": entry.status if entry.status in (Status.DECLINED, Status.REFUSED) else "done",
        "id": entry.provider_reference,
        "decline_code": entry.reason if entry.status is Status.DECLINED else None,
        "amount": entry.amount_minor,
        "currency": entry.currency,
    }
    if entry.kind in _TYPES:
        # Key, kind and id are those of the capture; the case has its own id, the movement.
        event |= {"kind": Kind.CAPTURE, "id": entry.parent, "movement": entry.provider_reference}
    return json.dumps(event, separators=(",", ":")).encode()
