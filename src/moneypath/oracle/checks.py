"""All checks of the audit, and those of them that need the whole ledger at once."""

from collections.abc import Callable, Iterable, Iterator

from moneypath.oracle.acknowledgement_checks import (
    check_answers_were_asked_for,
    check_late_captures_are_given_back,
    check_movements_agree,
    check_movements_are_asked_for,
    check_payments_agree,
    check_refusals_are_kept,
    check_replays_agree,
    check_successes_are_kept,
)
from moneypath.oracle.beneficiary_checks import check_beneficiaries
from moneypath.oracle.book_checks import check_books_agree_with_themselves
from moneypath.oracle.duplicate_checks import (
    check_acknowledged_keys_charge_once,
    check_posted_keys_charge_once,
    check_provider_keys_charge_once,
    check_references_authorize_once,
    check_references_charge_once,
)
from moneypath.oracle.entry_checks import (
    check_accounts_are_allowed,
    check_amounts_are_whole,
    check_entries_agree_with_themselves,
    check_entries_are_known,
    check_holds_balance,
)
from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import (
    check_charges_are_posted,
    check_currencies_balance,
    check_entries_balance,
    check_posted_amounts,
    check_postings_are_charged,
    check_postings_are_single,
    check_releases_are_backed,
)
from moneypath.oracle.limit_checks import (
    check_captures_are_authorized,
    check_chargebacks_are_captured,
    check_payouts_are_payable,
    check_refunds_are_captured,
)
from moneypath.oracle.records import Discrepancy
from moneypath.oracle.report_checks import check_exchanges_are_made, check_fees_are_taken

Check = Callable[[Evidence], Iterator[Discrepancy]]

CHECKS: tuple[Check, ...] = (
    check_entries_are_known,
    check_accounts_are_allowed,
    check_entries_agree_with_themselves,
    check_amounts_are_whole,
    check_entries_balance,
    check_holds_balance,
    check_currencies_balance,
    check_charges_are_posted,
    check_postings_are_charged,
    check_postings_are_single,
    check_releases_are_backed,
    check_posted_amounts,
    check_successes_are_kept,
    check_movements_agree,
    check_payments_agree,
    check_movements_are_asked_for,
    check_answers_were_asked_for,
    check_refusals_are_kept,
    check_late_captures_are_given_back,
    check_replays_agree,
    check_provider_keys_charge_once,
    check_posted_keys_charge_once,
    check_acknowledged_keys_charge_once,
    check_references_charge_once,
    check_references_authorize_once,
    check_beneficiaries,
    check_books_agree_with_themselves,
    check_captures_are_authorized,
    check_refunds_are_captured,
    check_chargebacks_are_captured,
    check_payouts_are_payable,
    check_fees_are_taken,
    check_exchanges_are_made,
)
# The others see all that they need in the rows of one merchant reference, or of one name that two share.
OF_THE_WHOLE_LEDGER: frozenset[Check] = frozenset((check_currencies_balance, check_payouts_are_payable))


def run(evidence: Evidence, checks: Iterable[Check]) -> tuple[Discrepancy, ...]:
    """Return what the checks find."""
    return tuple(discrepancy for check in checks for discrepancy in check(evidence))
