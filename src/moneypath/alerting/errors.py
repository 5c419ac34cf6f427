"""Errors of the generation of alerts."""

from moneypath.errors import MoneypathError


class AlertImpossible(MoneypathError):
    """An alert that could never fire, or not within its declared time."""

    code = "alert_impossible"


class RuleInvalid(MoneypathError):
    """A generated rule that names something that does not exist, or lacks what every alert has."""

    code = "rule_invalid"


class ScaleInvalid(MoneypathError):
    """A time scale outside the allowed range."""

    code = "scale_invalid"


class IntegrityAlertsUnreadable(MoneypathError):
    """A file of integrity alerts that is missing or holds something else."""

    code = "integrity_alerts_unreadable"


class SilencesUnknown(MoneypathError):
    """Alertmanager did not say which silences it has. Nothing is known then; it does not mean none."""

    code = "silences_unknown"
