"""The sets that a declaration or a service fills in, and what stands in them otherwise."""

from collections.abc import Iterable, Mapping

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, OTHER, AtRiskReason, Operation
from moneypath.telemetry.errors import CatalogueInvalid

# For a service that declares neither; `moneypath.yaml` takes their place once there is one.
STARTING_SCHEMES = ("visa", "mastercard", "amex", OTHER)
STARTING_CHECKS = ("ledger_balance",)

REQUIRED_SLOTS = ("providers", "currencies", "checks", "schemes")
OPTIONAL_SLOTS: Mapping[str, tuple[str, ...]] = {
    "methods": ("card",),
    "operations": tuple(operation.value for operation in Operation),
    "reasons": tuple(reason.value for reason in AtRiskReason),
    "queues": ("outbox", "notifications", "compliance_log"),
    # Empty: the service that knows its routes closes this set when it wires the HTTP middleware, and whoever
    # watches certificates, clocks or drills closes theirs by the family's `close_label`.
    "routes": (),
    "certificates": (),
    "peers": (),
    "drills": (),
}


def fill_slots(vocabulary: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Complete a vocabulary with the defaults of its optional slots.

    Raises CatalogueInvalid for a slot that is missing, empty, unknown or no list of different names.
    """
    allowed = (*REQUIRED_SLOTS, *OPTIONAL_SLOTS)
    for slot in vocabulary:
        if slot not in allowed:
            raise CatalogueInvalid(f"vocabulary: {slot}: unknown slot", hint=f"allowed: {', '.join(allowed)}")
    given = {slot: names_in(slot, values) for slot, values in vocabulary.items()}
    for slot in REQUIRED_SLOTS:
        if not given.get(slot):
            raise CatalogueInvalid(
                f"vocabulary: {slot}: missing or empty", hint=f"required: {', '.join(REQUIRED_SLOTS)}"
            )
    if NO_PROVIDER in given["providers"]:
        raise CatalogueInvalid(
            f"vocabulary: providers: {NO_PROVIDER!r} is reserved",
            hint="it stands for payments that no provider answered; give the provider another id",
        )
    return {**OPTIONAL_SLOTS, **given}


def names_in(slot: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the names that were given for a slot; raises CatalogueInvalid unless they are a list of them."""
    # A single name would be read letter by letter, and each letter become a value.
    names = None if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if names is None or not all(isinstance(name, str) for name in names):
        raise CatalogueInvalid(
            f"vocabulary: {slot}: {values!r} is no list of names", hint=f'as in {slot}=["a", "b"]'
        )
    for name in names:
        if names.count(name) > 1:
            raise CatalogueInvalid(f"vocabulary: {slot}: {name!r} stands twice")
    return names
