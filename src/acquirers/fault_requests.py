"""Parse the bodies of the fault controls; an error names the key and its allowed values."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from acquirers.errors import InstructionInvalid
from acquirers.faults import ACTS_ON, Fault, FaultKind, Misstatement, Operation, Scope
from acquirers.money import EXPONENTS
from acquirers.operations import DeclineCode

Choice = TypeVar("Choice", bound=StrEnum)

_SEED_MAX: Final = 2**63 - 1
_LATENCY_SECONDS_MAX: Final = 30.0
_LEASE_SECONDS_MAX: Final = 600.0
_SCOPE_VALUES_MAX: Final = 100
_FAULT_KEYS: Final = (
    "kind", "rate", "latency_seconds", "lease_seconds", "seed", "scope", "decline_code", "what",
)  # fmt: skip
_SCOPE_KEYS: Final = ("card_ranges", "currencies", "operations")
_TIMED: Final = frozenset(
    {FaultKind.HANG, FaultKind.DELAY, FaultKind.WEBHOOK_LATE, FaultKind.WEBHOOK_OUT_OF_ORDER}
)
_WHOLE_REPORTS: Final = frozenset({FaultKind.WITHHOLD, FaultKind.TRUNCATE})


def read_fault(body: object) -> tuple[Fault, float]:
    """Return the fault and its lease in seconds; raises InstructionInvalid."""
    fields = _read_object("the body", body, _FAULT_KEYS)
    kind = _read_choice("kind", fields.get("kind"), FaultKind)
    if kind in _TIMED and "latency_seconds" not in fields:
        raise InstructionInvalid(f"latency_seconds: {kind} needs a number from 0 to {_LATENCY_SECONDS_MAX:g}")
    if kind is not FaultKind.DECLINE and "decline_code" in fields:
        raise InstructionInvalid("decline_code: only goes with kind decline")
    if kind is not FaultKind.MISSTATE and "what" in fields:
        raise InstructionInvalid("what: only goes with kind misstate")
    rate = _read_number("rate", fields.get("rate"), 1.0)
    if kind is FaultKind.WITHHOLD and rate != 1:
        raise InstructionInvalid("rate: must be 1 for kind withhold, which acts on every further report")
    seed = fields.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _SEED_MAX:
        raise InstructionInvalid(f"seed: must be an integer from 0 to {_SEED_MAX}")
    fault = Fault(
        kind=kind,
        rate=rate,
        seed=seed,
        latency_seconds=_read_number(
            "latency_seconds", fields.get("latency_seconds", 0), _LATENCY_SECONDS_MAX
        ),
        scope=_read_scope(fields.get("scope", {}), kind),
        decline_code=_read_choice(
            "decline_code", fields.get("decline_code", DeclineCode.DO_NOT_HONOR.value), DeclineCode
        ),
        what=_read_choice("what", fields.get("what"), Misstatement) if kind is FaultKind.MISSTATE else None,
    )
    return fault, _read_lease_seconds(fields)


def read_lease(body: object) -> float:
    """Return the length of a renewed lease in seconds; raises InstructionInvalid."""
    return _read_lease_seconds(_read_object("the body", body, ("lease_seconds",)))


def _read_lease_seconds(fields: Mapping[str, object]) -> float:
    seconds = _read_number("lease_seconds", fields.get("lease_seconds"), _LEASE_SECONDS_MAX)
    if seconds == 0:
        raise InstructionInvalid(f"lease_seconds: must be over 0 and at most {_LEASE_SECONDS_MAX:g}")
    return seconds


def _read_scope(value: object, kind: FaultKind) -> Scope:
    fields = _read_object("scope", value, _SCOPE_KEYS)
    ranges = _read_texts("scope.card_ranges", fields.get("card_ranges", []))
    if any(len(item) != 6 or not (item.isascii() and item.isdigit()) for item in ranges):
        raise InstructionInvalid('scope.card_ranges: each must be six digits, such as "411111"')
    currencies = _read_texts("scope.currencies", fields.get("currencies", []))
    if not currencies <= EXPONENTS.keys():
        raise InstructionInvalid(f"scope.currencies: each must be one of {', '.join(EXPONENTS)}")
    if kind in _WHOLE_REPORTS and (ranges or currencies):
        key = "card_ranges" if ranges else "currencies"
        raise InstructionInvalid(f"scope.{key}: must be empty for kind {kind}, which acts on whole reports")
    if "operations" not in fields:
        return Scope(card_ranges=ranges, currencies=currencies)
    names = _read_texts("scope.operations", fields["operations"])
    operations = frozenset(_read_choice("scope.operations", name, Operation) for name in names)
    acts_on = ACTS_ON.get(kind, frozenset(Operation))
    if operations and not operations & acts_on:
        only = " and ".join(sorted(acts_on))
        raise InstructionInvalid(f"scope.operations: kind {kind} acts on {only} only")
    return Scope(card_ranges=ranges, currencies=currencies, operations=operations)


def _read_object(name: str, value: object, allowed: Collection[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InstructionInvalid(f"{name}: must be a JSON object with keys of {', '.join(allowed)}")
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        raise InstructionInvalid(f"{unknown[0][:64]}: unknown key of {name}; allowed: {', '.join(allowed)}")
    return value


def _read_number(name: str, value: object, highest: float) -> float:
    # Written so that NaN fails too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        raise InstructionInvalid(f"{name}: must be a number from 0 to {highest:g}")
    return float(value)


def _read_texts(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > _SCOPE_VALUES_MAX:
        raise InstructionInvalid(f"{name}: must be a list of at most {_SCOPE_VALUES_MAX} texts")
    if not all(isinstance(item, str) for item in value):
        raise InstructionInvalid(f"{name}: must be a list of texts")
    return frozenset(value)


def _read_choice(name: str, value: object, choices: type[Choice]) -> Choice:
    allowed = [choice.value for choice in choices]
    if not isinstance(value, str) or value not in allowed:
        raise InstructionInvalid(f"{name}: must be one of {', '.join(allowed)}")
    return choices(value)
