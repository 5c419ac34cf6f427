"""Forms of a team's own ids that look like card numbers, and what they are excused from."""

import re
from typing import Final

from moneypath.telemetry.redaction.cards import is_usual_card
from moneypath.telemetry.redaction.issuers import SHORTEST_CARD

LONGEST_ID = 32
FORMS_MAXIMUM = 8
_FORM: Final = re.compile(r"([A-Za-z](?:[A-Za-z_.-]{0,18}[A-Za-z_-])?)([1-9][0-9])")
ALLOWED: Final = (
    f"up to {FORMS_MAXIMUM} forms with commas between them, each a prefix of 1 to 20 letters, dashes, dots or"
    f" underscores and a number of digits from {SHORTEST_CARD} to {LONGEST_ID}, as in ord_17,inv-20"
)


class IdForms:
    """Declared forms of ids: a prefix that begins with a letter, and how many digits follow."""

    def __init__(self, declared: str = "") -> None:
        """Read forms such as `ord_17,inv-20`; raises ValueError with what is allowed."""
        forms = [form.strip() for form in declared.split(",")] if declared.strip() else []
        found = [_FORM.fullmatch(form) for form in forms]
        patterns = [f"{re.escape(one[1])}([0-9]{{{one[2]}}})" for one in found if one and _is_length(one[2])]
        if len(patterns) != len(forms) or len(forms) > FORMS_MAXIMUM:
            raise ValueError(ALLOWED)
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def cover(self, text: str) -> bool:
        """Return whether a text is wholly an id of a form, and its digits are not a card number in one piece.

        Of a length at which nearly all cards of that prefix are issued, that is: no form excuses those.
        """
        return any(
            found and not is_usual_card(found[1])
            for found in (pattern.fullmatch(text) for pattern in self._patterns)
        )


def _is_length(digits: str) -> bool:
    return SHORTEST_CARD <= int(digits) <= LONGEST_ID
