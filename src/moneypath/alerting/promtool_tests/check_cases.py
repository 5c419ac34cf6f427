"""The test cases of checks, targets and the watchdog."""

from collections.abc import Iterator

from moneypath.alerting.baseline import worker_job
from moneypath.alerting.check_alerts import STALE_HOLD_SECONDS, TARGET_HOLD_SECONDS
from moneypath.alerting.conventions import LAST_SUCCESS, SILENCES, check_labels, silence_check
from moneypath.alerting.promtool_tests.case import STEP_SECONDS, AlertsAt, Case, gauge, series
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check, Target
from moneypath.path.sql_checks import VIOLATIONS_MONEY, AmountUnit
from moneypath.telemetry.catalogue import Catalogue


def violated_cases(path: MoneyPath, check: Check, catalogue: Catalogue) -> tuple[Case, ...]:
    """Return the cases of a broken invariant."""
    return tuple(_violated(worker_job(path), check, catalogue))


def stale_cases(path: MoneyPath, check: Check, catalogue: Catalogue) -> tuple[Case, ...]:
    """Return the cases of a check that does not run."""
    return tuple(_stale(path, check, catalogue))


def target_cases(path: MoneyPath, target: Target, catalogue: Catalogue) -> tuple[Case, ...]:
    """Return the cases of a target that is down."""
    return tuple(_target(path, target, catalogue))


def zeros(path: MoneyPath, catalogue: Catalogue, seconds: int) -> dict[str, str]:
    """Return every gauge that must be 0, at 0 for so many seconds."""
    found: dict[str, str] = {}
    worker = worker_job(path)
    for check, name in ((one, name) for one in path.checks for name in one.series):
        labels = {label: values[0] for label, values in check_labels(check, name, catalogue).items()}
        found[series(name, **labels, job=worker, instance=worker)] = gauge((0, seconds))
    return found


def watchdog_cases(path: MoneyPath) -> tuple[Case, ...]:
    """Return the cases of the watchdog."""
    always = Case(
        "fires from the first evaluation on, without any series",
        {},
        (AlertsAt(0, ({},)), AlertsAt(300, ({},))),
    )
    silences = silence_check(path)
    return (always,) if silences is None else (always, *_heartbeat(path, silences))


def _heartbeat(path: MoneyPath, silences: Check) -> Iterator[Case]:
    worker = worker_job(path)

    def silenced(alert: str, *spans: tuple[int | str, int], instance: str = worker) -> dict[str, str]:
        return {series(SILENCES, alert=alert, job=worker, instance=instance): gauge(*spans)}

    silence_alert = silences.alerts.violated
    firing: tuple[dict[str, str], ...] = ({},)
    others = [silenced(name, (1, 300)) for name in path.integrity_alerts() if name != silence_alert]
    yield Case(
        f"stops while {silence_alert} is silenced, and goes on afterwards",
        silenced(silence_alert, (0, 300), (1, 300), (0, 300)),
        (AlertsAt(300, firing), AlertsAt(310), AlertsAt(590), AlertsAt(620, firing)),
    )
    yield Case(
        "stops if one of two exporters knows of the silence",
        silenced(silence_alert, (0, 300)) | silenced(silence_alert, (1, 300), instance="second"),
        (AlertsAt(300),),
    )
    yield Case(
        "goes on while other alerts are silenced: an alert tells of those",
        {
            name: values
            for each in (silenced(silence_alert, (0, 300)), *others)
            for name, values in each.items()
        },
        (AlertsAt(300, firing),),
    )
    yield Case(
        "goes on when nobody knows: the stale guard speaks then",
        silenced(silence_alert, (0, 300), ("_", 300)),
        (AlertsAt(590, firing),),
    )


def _violated(worker: str, check: Check, catalogue: Catalogue) -> Iterator[Case]:
    labels = {label: values[0] for label, values in check_labels(check, check.series[0], catalogue).items()}
    firing = (labels,)

    def gauges(*spans: tuple[int | str, int], instance: str = worker) -> dict[str, str]:
        return {series(name, **labels, job=worker, instance=instance): gauge(*spans) for name in check.series}

    healthy = gauges((0, 600))
    yield Case("stays quiet while the gauges are 0", healthy, (AlertsAt(0), AlertsAt(600)))
    for name in check.series:
        own = {series(name, **labels, job=worker, instance=worker): gauge((0, 300), (1, 300))}
        yield Case(
            f"fires at once when {name} is 1",
            healthy | own,
            (AlertsAt(300), AlertsAt(300 + 2 * STEP_SECONDS, firing)),
        )
    yield Case("is silent without the gauges: the stale guard speaks then", {}, (AlertsAt(600),))
    yield Case(
        "stays quiet when the worker restarts and the gauges are gone for a while",
        gauges((0, 300), ("_", 300), (0, 300)),
        (AlertsAt(590), AlertsAt(890)),
    )
    yield Case(
        "does not end because the worker died with the ledger out of balance",
        gauges((7, 300), ("_", 420)),
        (AlertsAt(300, firing), AlertsAt(720, firing)),
    )
    yield Case(
        "ends when the gauges are back at 0",
        gauges((7, 300), ("_", 300), (0, 600)),
        (AlertsAt(300, firing), AlertsAt(590, firing), AlertsAt(700)),
    )
    if check.sql is not None and check.sql.amount is not AmountUnit.NONE:
        money = {
            series(VIOLATIONS_MONEY, check=check.id, currency=currency, job=worker, instance=instance): value
            for currency, instance, value in (
                ("JPY", worker, gauge((70, 600))),
                ("EUR", worker, gauge((1250, 600))),
                ("EUR", "second", gauge((1250, 600))),
                ("USD", worker, gauge((0, 600))),
            )
        }
        said = "1250 minor units of EUR; 70 minor units of JPY; "
        yield Case(
            "says the money in its violations, each currency once, and not what two exporters add up to",
            gauges((2, 600)) | money,
            (AlertsAt(300, firing, found=said),),
        )
    if "check" in labels:
        other = {**labels, "check": "another"}
        wrong = {series(check.series[0], **other, job=worker, instance=worker): gauge((7, 600))}
        yield Case("stays quiet when another check is violated", healthy | wrong, (AlertsAt(600),))
    half = {series(check.series[0], **labels, job=worker, instance=worker): gauge((7, 300), (0, 300))}
    if len(check.series) > 1:
        last = {series(check.series[-1], **labels, job=worker, instance=worker): gauge((7, 300), ("_", 300))}
        yield Case("does not end while one of the gauges is unknown", half | last, (AlertsAt(590, firing),))
    yield Case(
        "takes the worst of two exporters, not the sum and not the last",
        healthy | gauges((1, 300), instance="second"),
        (AlertsAt(300, firing),),
    )


def _stale(path: MoneyPath, check: Check, catalogue: Catalogue) -> Iterator[Case]:
    worker = worker_job(path)
    name = series(LAST_SUCCESS, check=check.id, job=worker, instance=worker)
    limit = check.stale_after_seconds
    hold = STALE_HOLD_SECONDS + 2 * STEP_SECONDS
    firing: tuple[dict[str, str], ...] = ({},)
    fresh = 300 // STEP_SECONDS
    end = 300 + limit
    yield Case(
        "stays quiet while the check succeeds",
        {name: f"0+{STEP_SECONDS}x{2 * limit // STEP_SECONDS}"},
        (AlertsAt(300), AlertsAt(2 * limit)),
    )
    stuck = f"0+{STEP_SECONDS}x{fresh} 300+0x{2 * limit // STEP_SECONDS}"
    yield Case(
        "fires when the last success is too long ago, not before",
        {name: stuck},
        (AlertsAt(end - 2 * STEP_SECONDS), AlertsAt(end + hold + STEP_SECONDS, firing)),
    )
    yield Case(
        "fires because the check is stuck, though every gauge that has to be 0 reads 0",
        zeros(path, catalogue, end + 60) | {name: stuck},
        (AlertsAt(end - 2 * STEP_SECONDS), AlertsAt(end + hold + STEP_SECONDS, firing)),
    )
    yield Case(
        "ends with the next success",
        {name: f"0+0x{(end + 60) // STEP_SECONDS} {end + 60}+{STEP_SECONDS}x60"},
        (AlertsAt(end + 30, firing), AlertsAt(end + 120)),
    )
    gone = f"0+{STEP_SECONDS}x{fresh} stale"
    yield Case(
        "fires when the check is gone for as long, not before",
        {name: gone},
        (AlertsAt(end - 2 * STEP_SECONDS), AlertsAt(end + hold + 3 * STEP_SECONDS, firing)),
    )
    yield Case("fires when there has never been such a check", {}, (AlertsAt(60, firing),))
    yield Case(
        "fires when only another check succeeds",
        {series(LAST_SUCCESS, check="another", job=worker, instance=worker): f"0+{STEP_SECONDS}x24"},
        (AlertsAt(60, firing),),
    )
    yield Case(
        "fires when the time is in milliseconds, far in the future",
        {name: f"1700000000000+{STEP_SECONDS * 1000}x24"},
        (AlertsAt(60, firing),),
    )
    yield Case(
        "stays quiet when the worker restarts between two successes",
        {name: f"0+{STEP_SECONDS}x{fresh} stale _x{limit // 2 // STEP_SECONDS} {end}+{STEP_SECONDS}x60"},
        (AlertsAt(300 + limit // 2), AlertsAt(300 + limit // 2 + 60)),
    )
    yield Case(
        "stays quiet while Prometheus runs again and has not asked the worker yet",
        {name: f"_x3 {3 * STEP_SECONDS}+{STEP_SECONDS}x60"},
        tuple(AlertsAt(seconds) for seconds in range(0, 60, STEP_SECONDS)),
    )
    # What is not a sample is no time either: the series ends and begins with the same age.
    kept = f"0+{STEP_SECONDS}x{fresh} _x{30 // STEP_SECONDS} 300+0x{limit // STEP_SECONDS}"
    yield Case(
        "judges the last success at the time at which it was last seen",
        {name: f"0+{STEP_SECONDS}x{fresh} _x60"},
        # Before it is gone for as long as it may be silent, which is an alert of its own.
        (AlertsAt(300 + min(290, max(0, limit - 2 * STEP_SECONDS))),),
    )
    yield Case(
        "fires when the check is stuck, as soon as Prometheus sees it again",
        {name: kept},
        (AlertsAt(end + hold + STEP_SECONDS, firing),),
    )


def _target(path: MoneyPath, target: Target, catalogue: Catalogue) -> Iterator[Case]:
    alone = ({"job": target.job},)
    others = {
        name: gauge((1, 420))
        for other in path.targets
        if other.job != target.job
        for name in _instances(other)
    }
    name, *further = _instances(target)
    others |= dict.fromkeys(further, gauge((1, 420)))
    hold = TARGET_HOLD_SECONDS
    down = 300 + STEP_SECONDS
    yield Case("stays quiet while every target answers", others | {name: gauge((1, 420))}, (AlertsAt(420),))
    yield Case(
        f"fires when {target.job} has not answered for the hold, not before",
        others | {name: gauge((1, 300), (0, 300))},
        (AlertsAt(down + hold - STEP_SECONDS), AlertsAt(down + hold + STEP_SECONDS, alone)),
    )
    yield Case(
        f"fires when {target.job} is stuck, though every gauge that has to be 0 reads 0",
        others | zeros(path, catalogue, 420) | {name: gauge((1, 300), (0, 300))},
        (AlertsAt(300), AlertsAt(down + hold + STEP_SECONDS, alone)),
    )
    yield Case(
        "stays quiet for missed scrapes shorter than the hold",
        others | {name: gauge((1, 300), (0, hold - 2 * STEP_SECONDS), (1, 300))},
        tuple(AlertsAt(300 + seconds) for seconds in range(0, hold + 30, STEP_SECONDS)),
    )
    yield Case(
        f"fires when {target.job} is not even scraped",
        others | {name: gauge((1, 300), ("_", 300))},
        (AlertsAt(300), AlertsAt(down + hold + STEP_SECONDS, alone)),
    )
    yield Case(
        "ends when the target answers again",
        others | {name: gauge((0, 300), (1, 300))},
        (AlertsAt(300, alone), AlertsAt(600)),
    )
    another = series("up", job=target.job, instance="another")
    yield Case(
        f"fires when one of several instances of {target.job} is dead",
        others | {name: gauge((1, 420)), another: gauge((1, 120), (0, 300))},
        (AlertsAt(120), AlertsAt(420, alone)),
    )
    if further:
        yield Case(
            f"fires when {target.job} has one instance too few, and each one answers",
            others | {name: gauge((1, 420)), further[-1]: gauge((1, 120), ("_", 300))},
            (AlertsAt(120), AlertsAt(420, alone)),
        )
    yield Case(
        f"fires when {target.job} has never been scraped",
        {one: values for one, values in others.items() if one not in further},
        (AlertsAt(hold + 10, alone),),
    )


def _instances(target: Target) -> tuple[str, ...]:
    """Return the series of as many instances as there have to be, the first one named as the job is."""
    names = (target.job, *(f"{target.job}-{number}" for number in range(2, target.instances + 1)))
    return tuple(series("up", job=target.job, instance=name) for name in names)
