"""Read the accounts of a ledger by declared patterns: what an account stands for, and whose it is.

The patterns are RE2, which takes time in proportion to the text, whatever the pattern.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import re2

from moneypath.witnesses.vocabulary import AccountRole

_GROUPS: Final[Mapping[AccountRole, str]] = {
    AccountRole.RECEIVABLE: "provider",
    AccountRole.PAYOUT_CLEARING: "provider",
    AccountRole.PROVIDER_FEE: "provider",
    AccountRole.SUSPENSE: "provider",
    AccountRole.PAYABLE: "beneficiary",
}
# The oracle's names of these accounts.
_CLASSES: Final[Mapping[AccountRole, str]] = {
    AccountRole.RECEIVABLE: "provider_receivable",
    AccountRole.PAYABLE: "merchant_payable",
    AccountRole.PAYOUT_CLEARING: "payout_clearing",
    AccountRole.PROVIDER_FEE: "provider_fees",
    AccountRole.FEE: "fee",
    AccountRole.SUSPENSE: "suspense",
    AccountRole.HOLD: "hold_payable",
    AccountRole.OTHER: "other",
}
_KEPT_MAX: Final = 200_000


class Account(NamedTuple):
    """What an account stands for; `owner` is empty if only its row says whose it is.

    An account that no pattern reads, or two do, has no role, and `name` says why.
    """

    role: AccountRole | None
    name: str
    owner: str = ""


class Accounts:
    """Reads accounts, each once: the same ones come in millions of rows."""

    def __init__(self, patterns: Mapping[AccountRole, str]) -> None:
        self._patterns = [(role, compile_pattern(text)) for role, text in patterns.items()]
        self._known: dict[str, Account] = {}

    def read(self, text: str) -> Account:
        """Return what the account of this name stands for."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            known = self._known[text] = self._match(text)
        return known

    def _match(self, text: str) -> Account:
        found = [(role, match) for role, pattern in self._patterns if (match := pattern.search(text))]
        if len(found) != 1:
            roles = " and ".join(role for role, _ in found)
            return Account(None, f"{text} ({roles})" if found else text)
        role, match = found[0]
        group = _GROUPS.get(role)
        if group is None:
            return Account(role, f"{_CLASSES[role]}:{text}", text)
        owner = match.groupdict().get(group) or ""
        return Account(role, f"{_CLASSES[role]}:{owner}", owner)


def class_of(role: AccountRole) -> str:
    """Return the oracle's name of the accounts of a role."""
    return _CLASSES[role]


def compile_pattern(text: str) -> Any:  # Any: re2 has no types
    """Return a pattern; raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(text, options)


def find_pattern_problem(role: AccountRole, text: str) -> tuple[str, str] | None:
    """Return what is wrong with the pattern of a role, and what is allowed."""
    group = _GROUPS.get(role)
    allowed = f"an RE2 pattern, with the group {group} or none" if group else "an RE2 pattern without groups"
    try:
        groups = set(compile_pattern(text).groupindex)
    except re2.error:
        return "is no regular expression that RE2 reads", allowed
    if groups - {group}:
        return f"has the group {', '.join(sorted(groups - {group}))}", allowed
    return None
