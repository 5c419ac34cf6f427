"""What goes wrong between moneypath and a target."""

from moneypath.errors import MoneypathError


class TargetInvalid(MoneypathError):
    """A target's file that cannot be used."""

    code = "target_invalid"
    exit_code = 2


class VariableMissing(MoneypathError):
    """A variable of a target's file without a value, or a value for one that it does not have."""

    code = "variable_missing"
    exit_code = 2


class NotDrillable(MoneypathError):
    """A target that may not be broken, or not in the environment that was named."""

    code = "not_drillable"
    exit_code = 2


class CallRefused(MoneypathError):
    """A target that answered otherwise than its file says; what was asked had no effect, or its own."""

    code = "call_refused"


class CallUnanswered(MoneypathError):
    """A target that did not answer: the effect is unknown."""

    code = "call_unanswered"
