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
