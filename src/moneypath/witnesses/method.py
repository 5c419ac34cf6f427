"""Choose the checks that the given witnesses allow, and say what nobody can know without the others."""

from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.oracle.acknowledgement_checks import (
    check_late_captures_are_given_back,
    check_movements_agree,
    check_movements_are_asked_for,
    check_refusals_are_kept,
    check_replays_agree,
    check_successes_are_kept,
)
from moneypath.oracle.beneficiary_checks import check_named_beneficiaries
from moneypath.oracle.checks import Check
from moneypath.oracle.duplicate_checks import (
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
from moneypath.witnesses.pair_checks import (
    check_answers_are_booked,
    check_answers_are_posted,
    check_entries_are_asked_for,
)

_OF_A_LEDGER: tuple[Check, ...] = (
    check_entries_are_known,
    check_accounts_are_allowed,
    check_entries_agree_with_themselves,
    check_holds_balance,
    check_postings_are_single,
    check_posted_keys_charge_once,
    check_named_beneficiaries,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the witnesses before any row is judged."""

    ledger: bool
    book: bool
    answers: bool
    claims_zero_sum: bool = True
    names_parents: bool = True
    names_beneficiaries: bool = True
    has_authorizations: bool = False
    several_captures: bool = False
    is_partial: bool = False
    compares_fees: bool = False


def choose_checks(facts: Facts) -> tuple[Check, ...]:
    """Return the checks of the oracle that these witnesses allow."""
    checks: list[Check] = [check_amounts_are_whole]
    if facts.ledger:
        checks += _OF_A_LEDGER
        if facts.claims_zero_sum:
            checks += (check_entries_balance, check_currencies_balance)
        if not facts.is_partial:
            checks.append(check_payouts_are_payable)
    if facts.book:
        checks += _of_a_book(facts)
    if facts.answers:
        checks.append(check_replays_agree)
    return (*checks, *_between(facts))


def _between(facts: Facts) -> Iterator[Check]:
    """Yield the checks of one witness against another."""
    if facts.ledger and facts.book:
        yield from (check_charges_are_posted, check_postings_are_charged, check_posted_amounts)
        if not facts.is_partial:
            yield check_releases_are_backed
    if not facts.answers:
        return
    if not facts.book:
        yield from (check_answers_are_posted, check_entries_are_asked_for)
        return
    yield from (check_movements_agree, check_refusals_are_kept)
    if facts.ledger:
        yield from (
            check_successes_are_kept,
            check_movements_are_asked_for,
            check_late_captures_are_given_back,
        )
    else:
        yield check_answers_are_booked


def _of_a_book(facts: Facts) -> Iterator[Check]:
    yield check_provider_keys_charge_once
    # What was held before the window may cover a second capture in it.
    if not facts.several_captures and not (facts.is_partial and facts.has_authorizations):
        yield check_references_charge_once
    if facts.has_authorizations:
        yield check_references_authorize_once
    if facts.names_parents and not facts.is_partial:
        yield check_refunds_are_captured
        yield check_chargebacks_are_captured
        if facts.has_authorizations:
            yield check_captures_are_authorized


def list_unknowns(facts: Facts) -> Iterator[str]:
    """Yield what these witnesses leave open, each as a sentence without its subject."""
    if not facts.ledger:
        yield "whether anything was posted, and whom we owe: there is no ledger"
    if not facts.book:
        yield "whether a provider moved what the ledger says, or moved it twice: there is no book"
    if not facts.answers:
        yield "whether anybody asked for what was moved, and what callers were told: there are no answers"
    if facts.ledger:
        yield from _of_the_ledger(facts)
    if facts.book:
        yield from _of_the_books(facts)
    if facts.answers:
        yield "what was asked for and never answered: answers alone are on record"
    if facts.is_partial:
        yield (
            "whether refunds, chargebacks and payouts are covered by what came before the window, and "
            "captures by their authorization"
        )


def _of_the_ledger(facts: Facts) -> Iterator[str]:
    if not facts.claims_zero_sum:
        yield "whether the ledger sums to zero: its rows say one side, the other is implied"
    if not facts.names_beneficiaries:
        yield "whether the right beneficiary is owed: nothing but the account names one"
    elif not facts.answers:
        yield (
            "whether the right beneficiary is owed, where column and account of the ledger say the same: no "
            "answers name one"
        )
    yield "whether a stored balance is the sum of its entries: balances are not read"


def _of_the_books(facts: Facts) -> Iterator[str]:
    if not facts.names_parents:
        yield "whether more was refunded or charged back than was captured: a book has no column parent"
    if not facts.has_authorizations:
        yield "whether a capture was authorized: not every book has authorizations"
    if facts.several_captures:
        yield "whether an order was captured twice under two keys: it may have several captures"
    if not facts.compares_fees:
        yield (
            "whether the providers' fees are right: they need a column fee, provider_fee accounts, and no "
            "row outside of the time that is judged"
        )
