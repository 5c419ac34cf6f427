"""What the whole world of the sabotages lacks: holds, open and repeated requests, other names of entries."""

from moneypath.oracle import ChargeStatus, Outcome

from .world import AUTHORIZE, CAPTURE, REFUND, VOIDING, Rows, Step, altered, replace, whole_world


def _on_holds(account: str) -> str:
    return account.replace("provider_receivable", "hold_receivable").replace(
        "merchant_payable", "hold_payable"
    )


def _hold(step: Step, kind: str, sign: int) -> Rows:
    """An entry that promises money, or that takes a promise back."""
    return Rows(
        altered(
            replace(step, operation=CAPTURE).lines(f"{kind}-{step.reference}"),
            lambda line: replace(
                line, entry_kind=kind, operation_id=f"op-{kind}-{step.reference}",
                account=_on_holds(line.account), amount_minor=sign * line.amount_minor,
            ),
        )
    )  # fmt: skip


def _named(rows: Rows, kind: str) -> Rows:
    """The same entries under another name of their kind."""
    return replace(rows, postings=altered(rows.postings, lambda line: replace(line, entry_kind=kind)))


def _held() -> Rows:
    """A hold that its capture ends, and one that is released after a void."""
    held, capture = Step("h", AUTHORIZE, at=50.0), Step("h", CAPTURE, at=52.0)
    ended = altered(
        capture.lines(),
        lambda line: replace(line, account=_on_holds(line.account), amount_minor=-line.amount_minor),
    )
    done = capture.done()
    void = Step("v", AUTHORIZE, at=60.0)
    return (
        held.done()
        + _hold(held, "hold", 1)
        + replace(done, postings=done.postings + ended)
        + void.done()
        + _hold(void, "hold", 1)
        + Step("v", VOIDING, at=61.0).done()
        + _hold(replace(void, at=61.5), "release", -1)
    )


def _open_and_sent_again() -> Rows:
    """Requests without a final answer, before one, and for ever."""
    first, capture = Step("g", AUTHORIZE, at=70.0), Step("g", CAPTURE, at=71.0)
    refund = Step("g", REFUND, minor=300, key="g-back", at=72.0)
    refused = Step("g", REFUND, minor=100, key="g-no", at=75.0)
    unknown = Step("i", AUTHORIZE, at=73.0)
    never = Step("j", AUTHORIZE, at=74.0).answer(Outcome.UNKNOWN)
    shed = Step("k", AUTHORIZE, at=76.0).answer(Outcome.UNPROCESSED)
    return (
        first.done(
            first.answer(Outcome.UNKNOWN), first.answer(Outcome.UNPROCESSED), first.answer(),
            first.answer(replayed=True),
        )
        + _named(capture.done(capture.answer(Outcome.INDETERMINATE), capture.answer()), "capture")
        + _named(refund.done(), "refund")
        + Rows((), (refused.charge(ChargeStatus.REFUSED),), (refused.answer(Outcome.FAILED),))
        + unknown.done(unknown.answer(Outcome.INDETERMINATE))
        + Rows((), (), (never, shed))
    )  # fmt: skip


def wider_world() -> Rows:
    """A world with every kind of entry, operation, status and answer; every request is on record."""
    return whole_world() + (_held() + _open_and_sent_again()).recorded()
