"""Read the records of any team's money by a declared vocabulary, and have the oracle compare them."""

from moneypath.witnesses.comparison import reconcile
from moneypath.witnesses.declaration import Reconciliation, Witness, WitnessFile, load_witnesses, with_values
from moneypath.witnesses.errors import WitnessInvalid, WitnessUnreadable
from moneypath.witnesses.faults import Fault, FaultKind, Faults
from moneypath.witnesses.verdict import AuditVerdict, Result
from moneypath.witnesses.window import Window, read_time

__all__ = [
    "AuditVerdict",
    "Fault",
    "FaultKind",
    "Faults",
    "Reconciliation",
    "Result",
    "Window",
    "Witness",
    "WitnessFile",
    "WitnessInvalid",
    "WitnessUnreadable",
    "load_witnesses",
    "read_time",
    "reconcile",
    "with_values",
]
