"""Puts findings into gauges; what is known to be nothing is 0, what is not known is absent."""

from collections.abc import Iterable, Mapping

from moneypath.telemetry import Recorder
from refpay.ledger import sealing
from refpay.ledger.sealing import ChainRound
from refpay.measures import show_check
from refpay.money import Currency
from refpay.operations import durability, durable_settings
from refpay.operations.checks import CHECKS, Findings, Reason, Suspicion
from refpay.operations.durability import ProbeRound
from refpay.operations.durable_settings import SettingsRound


class Gauges:
    """The one exporter of the gauges that are read from the database."""

    def __init__(self, recorder: Recorder, *, providers: Iterable[str]) -> None:
        self._recorder = recorder
        self._providers = tuple(providers)

    def show(self, findings: Findings) -> None:
        """Set every gauge from one run of the checks."""
        self._show_routes(findings)
        self._show_ledger(findings)
        self._show_postings(findings)
        self._show_unresolved(findings)
        self._show_duplicates(findings)
        self._show_risk(findings)
        # Last: that a check succeeded is only said with its results on show.
        for check in CHECKS:
            show_check(self._recorder, check, findings.violations(check), findings.at)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._recorder.gauge(name).set(value, **labels)

    def _show_routes(self, findings: Findings) -> None:
        for route in findings.routes:
            self._set("moneypath_provider_routing_active", int(route.active), provider=route.provider)

    def _show_ledger(self, findings: Findings) -> None:
        found = _of(findings, Reason.LEDGER_IMBALANCE)
        for currency in Currency:
            here = [one for one in found if one.currency == currency]
            self._set("moneypath_ledger_unbalanced_entries", _count(here), currency=currency.value)
            self._set("moneypath_ledger_imbalance_minor_units", _money(here), currency=currency.value)

    def _show_postings(self, findings: Findings) -> None:
        gauges: Mapping[Reason, str] = {
            Reason.CAPTURE_WITHOUT_POSTING: "moneypath_captures_without_posting",
            Reason.POSTING_WITHOUT_CAPTURE: "moneypath_postings_without_capture",
        }
        for reason, name in gauges.items():
            found = _of(findings, reason)
            for provider in self._providers:
                self._set(name, _count(one for one in found if one.provider == provider), provider=provider)

    def _show_unresolved(self, findings: Findings) -> None:
        for provider in self._providers:
            found = [one for one in _of(findings, Reason.INDETERMINATE) if one.provider == provider]
            self._set("moneypath_indeterminate_payments", _count(found), provider=provider)
            for currency in Currency:
                money = _money(one for one in found if one.currency == currency)
                self._set(
                    "moneypath_indeterminate_minor_units", money, provider=provider, currency=currency.value
                )
            oldest = min((one.oldest for one in found if one.oldest is not None), default=None)
            gauge = self._recorder.gauge("moneypath_indeterminate_oldest_timestamp_seconds")
            if oldest is None:
                gauge.clear(provider=provider)
            else:
                gauge.set(oldest.timestamp(), provider=provider)

    def _show_duplicates(self, findings: Findings) -> None:
        found = _of(findings, Reason.DUPLICATE_CHARGE)
        self._set("moneypath_duplicate_charges", _count(found))
        for currency in Currency:
            money = _money(one for one in found if one.currency == currency)
            self._set("moneypath_duplicate_charge_minor_units", money, currency=currency.value)

    def _show_risk(self, findings: Findings) -> None:
        for reason in Reason:
            for currency in Currency:
                at_risk = sum(
                    one.at_risk_minor_units for one in _of(findings, reason) if one.currency == currency
                )
                self._set(
                    "moneypath_money_at_risk_minor_units",
                    at_risk,
                    reason=reason.value,
                    currency=currency.value,
                )


def show_probe(recorder: Recorder, result: ProbeRound) -> None:
    """Show one round of the durability probe."""
    counter = recorder.counter("moneypath_ledger_probe_total")
    counter.inc(result.found, result="found")
    counter.inc(result.missing, result="missing")
    recorder.gauge("moneypath_ledger_missing_writes").set(result.missing)
    show_check(recorder, durability.CHECK, result.missing, result.at)


def show_settings(recorder: Recorder, result: SettingsRound) -> None:
    """Show which settings are unsafe; one that nobody can tell has no series."""
    gauge = recorder.gauge("moneypath_durability_unsafe")
    for setting in result.settings:
        if setting.value is None:
            gauge.clear(setting=setting.name)
        else:
            gauge.set(int(setting.unsafe), setting=setting.name)
    show_check(recorder, durable_settings.CHECK, sum(one.unsafe for one in result.settings), result.at)


def show_chain(recorder: Recorder, result: ChainRound) -> None:
    """Show what was found in the ledger's chain; that nothing is, once all of it was looked at."""
    if not (result.complete or result.findings):
        return
    recorder.gauge("moneypath_ledger_chain_breaks").set(result.findings)
    if result.complete:
        show_check(recorder, sealing.CHECK, result.findings, result.at)


def _of(findings: Findings, reason: Reason) -> list[Suspicion]:
    return [found for found in findings.suspicions if found.reason is reason]


def _count(found: Iterable[Suspicion]) -> int:
    return sum(one.findings for one in found)


def _money(found: Iterable[Suspicion]) -> int:
    return sum(one.minor_units for one in found)
