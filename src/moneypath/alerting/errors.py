"""What is refused while alerts are generated."""

from moneypath.errors import MoneypathError


class AlertImpossible(MoneypathError):
    """An alert that could never fire, or not within the time it promises."""

    code = "alert_impossible"


class RuleInvalid(MoneypathError):
    """A generated rule that names something which does not exist, or lacks what every alert has."""

    code = "rule_invalid"


class ScaleInvalid(MoneypathError):
    """A dilation of time that the rules cannot bear."""

    code = "scale_invalid"
