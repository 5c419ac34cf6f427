"""Export results as gauges. What is known to be nothing is 0; what is not known is absent."""

from collections.abc import Mapping
from typing import Final

from moneypath.telemetry import Recorder
from refpay.audit import sealing as audit_sealing
from refpay.ledger import sealing as ledger_sealing
from refpay.measures import show_check
from refpay.money import Currency
from refpay.operations import durability, durable_settings
from refpay.operations.checks import CHECKS, IntegrityReport, MoneyAtRisk, Reason
from refpay.operations.durability import ProbeRound
from refpay.operations.durable_settings import SettingsRound
from refpay.seals.sealing import ChainRound
from refpay.settings import PROVIDER_NAMES

CURRENCIES: Final = tuple(currency.value for currency in Currency)


def show_integrity(recorder: Recorder, findings: IntegrityReport) -> None:
    """Set every gauge from one round of the checks."""

    def show(gauge: str, field: str, reason: Reason, /, **labels: str) -> None:
        found = _among(findings, reason, **labels)
        recorder.gauge(gauge).set(sum(getattr(one, field) for one in found), **labels)

    for route in findings.routes:
        routing = recorder.gauge("moneypath_provider_routing_active")
        routing.set(int(route.active), provider=route.provider)
    show("moneypath_duplicate_charges", "findings", Reason.DUPLICATE_CHARGE)
    for currency in CURRENCIES:
        of = {"currency": currency}
        show("moneypath_ledger_unbalanced_entries", "findings", Reason.LEDGER_IMBALANCE, **of)
        show("moneypath_ledger_imbalance_minor_units", "minor_units", Reason.LEDGER_IMBALANCE, **of)
        show("moneypath_duplicate_charge_minor_units", "minor_units", Reason.DUPLICATE_CHARGE, **of)
        for reason in Reason:
            why = {"reason": reason.value, **of}
            show("moneypath_money_at_risk_minor_units", "at_risk_minor_units", reason, **why)
    for provider in PROVIDER_NAMES:
        of = {"provider": provider}
        show("moneypath_captures_without_posting", "findings", Reason.CAPTURE_WITHOUT_POSTING, **of)
        show("moneypath_postings_without_capture", "findings", Reason.POSTING_WITHOUT_CAPTURE, **of)
        show("moneypath_indeterminate_payments", "findings", Reason.INDETERMINATE, **of)
        for currency in CURRENCIES:
            both = {**of, "currency": currency}
            show("moneypath_indeterminate_minor_units", "minor_units", Reason.INDETERMINATE, **both)
        oldest = recorder.gauge("moneypath_indeterminate_oldest_timestamp_seconds")
        found = _among(findings, Reason.INDETERMINATE, **of)
        if open_since := [one.oldest for one in found if one.oldest is not None]:
            oldest.set(min(open_since).timestamp(), provider=provider)
        else:
            oldest.clear(provider=provider)
    # Last, so that a check's success is exported only after its results.
    for check in CHECKS:
        show_check(recorder, check, findings.violations(check), findings.at)


def _among(findings: IntegrityReport, reason: Reason, /, **labels: str) -> list[MoneyAtRisk]:
    """Return what was found for a reason, and for a provider or currency."""
    return [
        one
        for one in findings.at_risk
        if one.reason is reason and all(getattr(one, name) == value for name, value in labels.items())
    ]


def show_debts(recorder: Recorder, debts: Mapping[str, int]) -> None:
    """Export what merchants owe, in minor units by currency."""
    for currency in CURRENCIES:
        recorder.gauge("moneypath_merchant_debt_minor_units").set(debts.get(currency, 0), currency=currency)


def show_probe(recorder: Recorder, result: ProbeRound) -> None:
    """Export one round of the durability probe."""
    counter = recorder.counter("moneypath_ledger_probe_total")
    counter.inc(result.found, result="found")
    counter.inc(result.missing, result="missing")
    recorder.gauge("moneypath_ledger_missing_writes").set(result.missing)
    show_check(recorder, durability.CHECK, result.missing, result.at)


def show_settings(recorder: Recorder, result: SettingsRound) -> None:
    """Export which settings are unsafe. A setting that is not known has no series."""
    gauge = recorder.gauge("moneypath_durability_unsafe")
    for setting in result.settings:
        if setting.value is None:
            gauge.clear(setting=setting.name)
        else:
            gauge.set(int(setting.unsafe), setting=setting.name)
    show_check(recorder, durable_settings.CHECK, sum(one.unsafe for one in result.settings), result.at)


def show_ledger_chain(recorder: Recorder, result: ChainRound) -> None:
    """Export the breaks in the ledger's chain."""
    _show_chain(recorder, "moneypath_ledger_chain_breaks", ledger_sealing.CHECK, result)


def show_audit_chain(recorder: Recorder, result: ChainRound) -> None:
    """Export the breaks in the chain of the audit trail."""
    _show_chain(recorder, "moneypath_audit_chain_breaks", audit_sealing.CHECK, result)


def _show_chain(recorder: Recorder, gauge: str, check: str, result: ChainRound) -> None:
    """Export the breaks in a chain. Zero is exported only after the whole chain was verified."""
    if not (result.complete or result.findings):
        return
    recorder.gauge(gauge).set(result.findings)
    if result.complete:
        show_check(recorder, check, result.findings, result.at)
