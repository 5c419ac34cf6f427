"""The metrics of reconciliation, durability, messages, risk and cost."""

from collections.abc import Iterator

from moneypath.telemetry.catalogue.declaring import Vocabulary, counter, gauge, histogram, values
from moneypath.telemetry.catalogue.metric import MetricSpec, Unit
from moneypath.telemetry.catalogue.vocabulary import (
    NO_PROVIDER,
    BreakClass,
    CostComponent,
    DeadLetterReason,
    DurabilitySetting,
    MessageOutcome,
    ProbeResult,
    ReconciliationResult,
    RiskDecision,
    RiskRule,
    SettlementFileResult,
    WriteRefusal,
)


def business_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    """Yield the metrics with the label values of `vocabulary`."""
    yield from _durability_metrics()
    yield from _reconciliation_metrics(vocabulary)
    yield from _message_metrics(vocabulary)
    yield from _risk_metrics()
    yield from _cost_metrics(vocabulary)


def _durability_metrics() -> Iterator[MetricSpec]:
    yield counter(
        name="moneypath_ledger_probe_total",
        help="Acknowledged ledger writes that the probe read back, by whether they were there.",
        labels={"result": values(ProbeResult)},
    )
    yield gauge(
        name="moneypath_ledger_missing_writes",
        help="Acknowledged ledger writes that the probe's last round did not find; has to be 0.",
    )
    yield gauge(
        name="moneypath_ledger_chain_breaks",
        help="Places where the ledger is not as it was sealed, entries and seals; has to be 0.",
    )
    yield gauge(
        name="moneypath_audit_chain_breaks",
        help="Places where the audit trail is not as it was sealed, records and seals; has to be 0.",
    )
    yield gauge(
        name="moneypath_durability_unsafe",
        help="1 while the setting lets a power cut take back what was acknowledged, 0 while it does not.",
        labels={"setting": values(DurabilitySetting)},
    )


def _reconciliation_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    provider = {"provider": vocabulary["providers"]}
    classed = {**provider, "class": values(BreakClass)}
    yield gauge(
        name="moneypath_reconciliation_watermark_timestamp_seconds",
        help="Up to when everything is reconciled with the provider, Unix time; the lag is now less this.",
        unit=Unit.SECONDS,
        labels=provider,
    )
    yield counter(
        name="moneypath_reconciliation_rows_total",
        help="Rows compared between ledger and settlement reports, each once per report and revision.",
        labels={**provider, "result": values(ReconciliationResult)},
    )
    yield gauge(
        name="moneypath_reconciliation_breaks",
        help="Open differences between ledger and settlement reports; has to be 0.",
        labels=classed,
    )
    yield gauge(
        name="moneypath_reconciliation_break_minor_units",
        help="Money in open differences between ledger and settlement reports; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels={**classed, "currency": vocabulary["currencies"]},
    )
    yield gauge(
        name="moneypath_reconciliation_oldest_break_timestamp_seconds",
        help="When the oldest open difference was found, Unix time; absent while there is none.",
        unit=Unit.SECONDS,
        labels=classed,
    )
    yield gauge(
        name="moneypath_merchant_debt_minor_units",
        help="Money that merchants owe us after refunds of what was paid out; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels={"currency": vocabulary["currencies"]},
    )
    yield gauge(
        name="moneypath_settlement_due_timestamp_seconds",
        help="Until when the next settlement report has to be there, Unix time.",
        unit=Unit.SECONDS,
        labels=provider,
    )
    yield counter(
        name="moneypath_settlement_files_total",
        help="Settlement reports by what became of them.",
        labels={**provider, "result": values(SettlementFileResult)},
    )


def _message_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    queue = {"queue": vocabulary["queues"]}
    dead = {**queue, "reason": values(DeadLetterReason)}
    yield histogram(
        name="moneypath_message_duration_seconds",
        help="Handling of messages from delivery to verdict, each delivery once.",
        labels={**queue, "outcome": values(MessageOutcome)},
    )
    yield gauge(
        name="moneypath_queue_depth",
        help="Messages that wait, those delivered and not yet acknowledged included.",
        labels=queue,
    )
    yield gauge(
        name="moneypath_queue_oldest_timestamp_seconds",
        help="When the oldest waiting message was written, Unix time; absent while none waits.",
        unit=Unit.SECONDS,
        labels=queue,
    )
    yield counter(
        name="moneypath_dead_letters_total",
        help="Messages set aside because they could not be handled.",
        labels=dead,
    )
    yield gauge(
        name="moneypath_dead_letter_depth",
        help="Messages set aside and not yet replayed; has to be 0.",
        labels=dead,
    )
    yield gauge(
        name="moneypath_broker_writes_refused",
        help="1 while the broker takes no messages for this cause, 0 while it does not; absent if not known.",
        labels={"cause": values(WriteRefusal)},
    )


def _risk_metrics() -> Iterator[MetricSpec]:
    yield counter(
        name="moneypath_risk_decisions_total",
        help="Authorizations by what risk said to them.",
        labels={"decision": values(RiskDecision)},
    )
    yield counter(
        name="moneypath_risk_signals_total",
        help="Authorizations that a rule of risk found suspicious, whether or not they were blocked.",
        labels={"rule": values(RiskRule)},
    )


def _cost_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    yield counter(
        name="moneypath_captured_minor_units_total",
        help="Money captured, in minor units of its currency, counted once its posting is committed.",
        unit=Unit.MINOR_UNITS,
        labels={"provider": vocabulary["providers"], "currency": vocabulary["currencies"]},
    )
    yield counter(
        name="moneypath_cost_micro_units_total",
        help="What processing costs, in millionths of the reporting currency, idle capacity included.",
        unit=Unit.MICRO_UNITS,
        labels={"component": values(CostComponent), "provider": (*vocabulary["providers"], NO_PROVIDER)},
    )
