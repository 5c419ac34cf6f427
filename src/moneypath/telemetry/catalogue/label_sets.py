"""The label values that a declaration or a service fills in, and their defaults."""

from collections.abc import Iterable, Mapping

from moneypath.telemetry.catalogue.vocabulary import (
    NO_PROVIDER,
    OTHER,
    AtRiskReason,
    Cohort,
    Operation,
    Traffic,
)
from moneypath.telemetry.errors import CatalogueInvalid

# Defaults for a service that declares neither; a `moneypath.yaml` replaces them.
STARTING_SCHEMES = ("visa", "mastercard", "amex", OTHER)
STARTING_CHECKS = ("ledger_balance",)

REQUIRED_LABEL_SETS = ("providers", "currencies", "checks", "schemes")
OPTIONAL_LABEL_SETS: Mapping[str, tuple[str, ...]] = {
    "methods": ("card",),
    "operations": tuple(operation.value for operation in Operation),
    # Others exist only where they are declared: their series would be most of a small service's.
    "traffic": (Traffic.LIVE.value,),
    "cohorts": (Cohort.CONTROL.value,),
    "reasons": tuple(reason.value for reason in AtRiskReason),
    "queues": ("outbox", "notifications", "compliance_log"),
    # Empty: the service sets its routes when it adds the HTTP middleware. The process that watches
    # certificates, peers or drills sets them with `close_label`.
    "routes": (),
    "certificates": (),
    "peers": (),
    "drills": (),
    # The names of the alerts of integrity checks, which only a declaration knows.
    "alerts": (),
    # Those checks that run as SQL on a database of the team's own.
    "sql_checks": (),
}

# Label sets whose first value needs no declaration: every objective stands on live traffic.
ALWAYS_PRESENT = ("traffic", "cohorts")


def complete_vocabulary(vocabulary: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the vocabulary with defaults for every optional key that is not given.

    Raises CatalogueInvalid for a key that is missing, empty or unknown, and for values that are not a list
    of different names.
    """
    allowed = (*REQUIRED_LABEL_SETS, *OPTIONAL_LABEL_SETS)
    for label_set in vocabulary:
        if label_set not in allowed:
            raise CatalogueInvalid(
                f'The vocabulary has an unknown key "{label_set}".',
                hint=f"Use these keys: {', '.join(allowed)}.",
            )
    given = {label_set: names_in(label_set, values) for label_set, values in vocabulary.items()}
    for label_set in REQUIRED_LABEL_SETS:
        if not given.get(label_set):
            raise CatalogueInvalid(
                f'The vocabulary key "{label_set}" is missing or empty.',
                hint=f"Give values for {', '.join(REQUIRED_LABEL_SETS)}.",
            )
    if NO_PROVIDER in given["providers"]:
        raise CatalogueInvalid(
            f"The provider id {NO_PROVIDER!r} is reserved.",
            hint="Give the provider another id; this one marks payments that no provider answered.",
        )
    for label_set in ALWAYS_PRESENT:
        first = OPTIONAL_LABEL_SETS[label_set]
        given[label_set] = (*first, *(name for name in given.get(label_set, ()) if name not in first))
    return {**OPTIONAL_LABEL_SETS, **given}


def names_in(label_set: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the values of one key as a tuple.

    Raises CatalogueInvalid if they are not a list of different names.
    """
    # Iterating a single string would yield its letters as values.
    names = None if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if names is None or not all(isinstance(name, str) for name in names):
        raise CatalogueInvalid(
            f"{label_set} is {values!r}, not a list of names.", hint=f'Write it as {label_set}=["a", "b"].'
        )
    for name in names:
        if names.count(name) > 1:
            raise CatalogueInvalid(f"{label_set} has {name!r} twice.")
    return names
