"""Write the ready checks of a ledger by itself: its entries and its balances."""

from moneypath.checks.quoting import quote_identifier as name
from moneypath.checks.quoting import quote_list, quote_table
from moneypath.path.ready_checks import (
    AccountMovements,
    BalanceIsSum,
    EntrySide,
    Lines,
    NegativeBalance,
    Rows,
    ZeroSum,
)

NO_TIME = "NULL::timestamptz"


def conditions(rows: Rows, *, alias: str = "", first: str = "WHERE") -> str:
    """Return the conditions on the rows of a table, beginning with `first`; nothing if there are none."""
    parts = [f"{alias}{name(column)} IN {quote_list(values)}" for column, values in rows.where.items()]
    for column, values in rows.unless.items():
        named = f"{alias}{name(column)}"
        # NOT IN alone would leave out rows of which the column says nothing.
        parts.append(f"({named} IS NULL OR {named} NOT IN {quote_list(values)})")
    return f" {first} {' AND '.join(parts)}" if parts else ""


def zero_sum(check: ZeroSum) -> str:
    """Return the entries whose lines do not sum to zero in a currency, or cannot be summed."""
    amount, since = signed_amount(check), NO_TIME if check.at is None else f"min({name(check.at)})"
    entry, currency = name(check.entry), name(check.currency)
    return f"""SELECT {entry} AS subject, {strict_sum(amount)} AS amount_minor, {currency} AS currency,
       {since} AS since
FROM {quote_table(check.table)}{conditions(check)}
GROUP BY {entry}, {currency}
HAVING sum({amount}) <> 0 OR count(*) <> count({amount}) OR {currency} IS NULL OR {entry} IS NULL"""  # noqa: S608 - names are quoted


def balance_is_sum(check: BalanceIsSum) -> str:
    """Return the accounts whose balance is not the sum of their movements, in each currency."""
    balances, moves = check.balances, check.movements
    currency = balances.currency
    balance = f"{'-' if balances.opposite_sign else ''}{name(balances.balance)}"
    joined = "kept.account = summed.account"
    if currency is not None and moves.currency is not None:
        joined += " AND kept.currency = summed.currency"
    own = "NULL::text" if currency is None else name(currency)
    return f"""WITH moved AS ({movements(moves)}),
summed AS (
    SELECT account, currency, {strict_sum("amount")} AS total, count(*) = count(amount) AS is_whole,
           max(at) AS at
    FROM moved GROUP BY account, currency
),
kept AS (
    SELECT {name(balances.account)} AS account, {own} AS currency, {balance} AS balance
    FROM {quote_table(balances.table)}{conditions(balances)}
)
SELECT COALESCE(kept.account::text, summed.account::text) AS subject,
       CASE WHEN (kept.account IS NOT NULL AND kept.balance IS NULL) OR NOT summed.is_whole THEN NULL
            ELSE COALESCE(kept.balance, 0) - COALESCE(summed.total, 0) END AS amount_minor,
       COALESCE(kept.currency::text, summed.currency::text) AS currency, summed.at AS since
FROM kept FULL JOIN summed ON {joined}
WHERE COALESCE(kept.balance, 0) <> COALESCE(summed.total, 0)
   OR (kept.account IS NOT NULL AND kept.balance IS NULL) OR NOT summed.is_whole"""  # noqa: S608 - names are quoted


def movements(moves: AccountMovements) -> str:
    """Return every movement with account, currency, amount and time; of two accounts it is two movements."""
    if moves.account is not None:
        return _movement(moves, moves.account, signed_amount(moves))
    amount = name(moves.amount)
    pairs = ((moves.destination, amount), (moves.source, f"-{amount}"))
    return "\n    UNION ALL ".join(
        _movement(moves, account, value) for account, value in pairs if account is not None
    )


def _movement(moves: AccountMovements, account: str, amount: str) -> str:
    currency = "NULL::text" if moves.currency is None else name(moves.currency)
    at = NO_TIME if moves.at is None else name(moves.at)
    return (
        f"SELECT {name(account)} AS account, {currency} AS currency, {amount} AS amount, {at} AS at "  # noqa: S608 - names are quoted
        f"FROM {quote_table(moves.table)}{conditions(moves)}"
    )


def negative_balance(check: NegativeBalance) -> str:
    """Return the accounts below zero, and those without a balance."""
    balance = f"{'-' if check.opposite_sign else ''}{name(check.balance)}"
    since = NO_TIME if check.at is None else name(check.at)
    return f"""SELECT {name(check.account)} AS subject, {balance} AS amount_minor,
       {name(check.currency)} AS currency, {since} AS since
FROM {quote_table(check.table)}
WHERE ({balance} < 0 OR {name(check.balance)} IS NULL){conditions(check, first="AND")}"""  # noqa: S608 - names are quoted


def signed_amount(lines: Lines) -> str:
    """Return the amount, debits positive; NULL for a side that is neither."""
    amount = name(lines.amount)
    return amount if lines.side is None else _by_side(lines.side, amount)


def _by_side(side: EntrySide, amount: str) -> str:
    column = name(side.column)
    debit, credit = quote_list(side.debit), quote_list(side.credit)
    return f"CASE WHEN {column} IN {debit} THEN {amount} WHEN {column} IN {credit} THEN -{amount} END"


def strict_sum(amount: str) -> str:
    """Return the sum, or NULL if one of the amounts is: `sum` alone passes over those."""
    return f"CASE WHEN count(*) = count({amount}) THEN sum({amount}) END"
