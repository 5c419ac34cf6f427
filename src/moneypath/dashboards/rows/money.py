"""Money that is not accounted for."""

from moneypath.alerting.business_metrics import BREAKS
from moneypath.alerting.rules import LiteralKind
from moneypath.dashboards import amounts
from moneypath.dashboards.amounts import CURRENCY, PROVIDER
from moneypath.dashboards.model import Panel, PanelKind, Query, Row
from moneypath.dashboards.thresholds import Thresholds, at_most, zero

_AT_RISK = "max by (reason, currency) (moneypath_money_at_risk_minor_units{{{matchers}}})"
_WHOLE = "every unit is accounted for, so no reason holds any money"
_SETTLED = "no operation has an unknown outcome"
UNBALANCED = "moneypath_ledger_unbalanced_entries"
UNPOSTED = "moneypath_captures_without_posting"
UNCAPTURED = "moneypath_postings_without_capture"
DOUBLE = "moneypath_duplicate_charges"
MISSING = "moneypath_ledger_missing_writes"
LEDGER_CHAIN = "moneypath_ledger_chain_breaks"
AUDIT_CHAIN = "moneypath_audit_chain_breaks"
UNSAFE = "moneypath_durability_unsafe"
OLDEST_UNKNOWN = "moneypath_indeterminate_oldest_timestamp_seconds"
DEBT = "moneypath_merchant_debt_minor_units"


def money(thresholds: Thresholds) -> Row:
    """Return what is not accounted for: amounts, reasons, violations of checks, and unknown outcomes."""
    return Row(
        "Is every unit accounted for?",
        (
            _at_risk(thresholds),
            _by_reason(thresholds),
            _violations(thresholds),
            _unknown(thresholds),
            _unknown_money(thresholds),
            _oldest(thresholds),
            _debt(thresholds),
        ),
    )


def _at_risk(thresholds: Thresholds) -> Panel:
    return Panel(
        "Money at risk",
        PanelKind.STAT,
        "Money that is not accounted for now, each currency for itself and each amount under one reason "
        "only. The table beside says why. Amounts are in major units; they are never added across "
        "currencies.",
        amounts.queries(
            thresholds.path, lambda only: f"sum by (currency) ({_AT_RISK.format(matchers=only)})"
        ),
        width=8,
        steps=zero(),
        alerts=thresholds.alerts_on(UNBALANCED),
        overrides=amounts.overrides(thresholds.path),
        no_value="not known",
    )


def _by_reason(thresholds: Thresholds) -> Panel:
    return Panel(
        "Money at risk by reason",
        PanelKind.TABLE,
        "One line for each reason and currency that holds money. Work from the top: a broken ledger comes "
        "before a double charge, that before a missing posting, that before an outcome that is not known "
        "yet.",
        (
            amounts.table_query(
                thresholds.path, lambda only: f"({_AT_RISK.format(matchers=only)} > 0)", empty_when=_WHOLE
            ),
        ),
        width=8,
        alerts=thresholds.alerts_on(UNPOSTED, DOUBLE, BREAKS),
        columns={"reason": "Reason", "currency": "Currency"},
        no_value="Every unit is accounted for.",
    )


def _violations(thresholds: Thresholds) -> Panel:
    counts = {
        "unbalanced entries": f"sum(max by (currency) ({UNBALANCED}{{{CURRENCY}}}))",
        "captures without posting": f"sum(max by (provider) ({UNPOSTED}{{{PROVIDER}}}))",
        "postings without capture": f"sum(max by (provider) ({UNCAPTURED}{{{PROVIDER}}}))",
        "duplicate charges": f"max({DOUBLE})",
        "writes not read back": f"max({MISSING})",
        "breaks of the ledger's chain": f"max({LEDGER_CHAIN})",
        "breaks of the audit trail's chain": f"max({AUDIT_CHAIN})",
        "unsafe durability settings": f"sum(max by (setting) ({UNSAFE}))",
    }
    return Panel(
        "What has to be 0",
        PanelKind.TIMESERIES,
        "Findings of the integrity checks. Any of them above 0 pages engineering, operations and "
        "compliance; none may be explained away by an outage. A flat 0 proves something only while the "
        "checks are fresh: see the last row.",
        tuple(Query(expr, legend) for legend, expr in counts.items()),
        width=8,
        decimals=0,
        steps=zero(),
        min_value=0,
        alerts=thresholds.alerts_on(
            UNBALANCED, UNPOSTED, UNCAPTURED, DOUBLE, MISSING, LEDGER_CHAIN, AUDIT_CHAIN, UNSAFE
        ),
    )


def _debt(thresholds: Thresholds) -> Panel:
    return Panel(
        "Owed by merchants",
        PanelKind.STAT,
        "What merchants owe us: more was refunded or charged back than their balance had left after a "
        "payout. Credits of other merchants reduce nothing.",
        amounts.queries(
            thresholds.path,
            lambda only: f"max by (currency) ({DEBT}{{{only}}})",
        ),
        width=24,
        height=4,
        steps=zero(),
        alerts=thresholds.alerts_on(DEBT),
        overrides=amounts.overrides(thresholds.path),
        no_value="not known",
    )


def _unknown(thresholds: Thresholds) -> Panel:
    return Panel(
        "Operations of unknown outcome",
        PanelKind.TIMESERIES,
        "Sent to the provider and not answered: the customer may or may not have been charged. The worker "
        "asks again by itself; a number that does not fall means that the provider does not answer that "
        "either.",
        (Query(f"max by (provider) (moneypath_indeterminate_payments{{{PROVIDER}}})", "{{provider}}"),),
        width=8,
        height=7,
        decimals=0,
        min_value=0,
        alerts=thresholds.alerts_on(OLDEST_UNKNOWN),
    )


def _unknown_money(thresholds: Thresholds) -> Panel:
    def minor_units(only: str) -> str:
        matchers = f"{only}, {PROVIDER}"
        held = f"max by (provider, currency) (moneypath_indeterminate_minor_units{{{matchers}}})"
        return f"sum by (currency) ({held})"

    return Panel(
        "Money in them",
        PanelKind.STAT,
        "What those operations would move if all of them turned out to have happened, each currency for "
        "itself.",
        amounts.queries(thresholds.path, minor_units),
        width=8,
        height=7,
        alerts=thresholds.alerts_on(OLDEST_UNKNOWN),
        overrides=amounts.overrides(thresholds.path),
        no_value="not known",
    )


def _oldest(thresholds: Thresholds) -> Panel:
    began = f"min by (provider) ({OLDEST_UNKNOWN}{{{PROVIDER}}})"
    return Panel(
        "Oldest of them",
        PanelKind.STAT,
        "For how long the oldest of them has had no answer. Past the limit a person has to ask the "
        "provider: the machine has asked often enough.",
        (Query(f"time() - {began}", "{{provider}}", instant=True, empty_when=_SETTLED),),
        width=8,
        height=7,
        unit="s",
        decimals=0,
        steps=at_most(thresholds.fires_at(OLDEST_UNKNOWN, LiteralKind.AGE)),
        alerts=thresholds.alerts_on(OLDEST_UNKNOWN),
        no_value="none",
    )
