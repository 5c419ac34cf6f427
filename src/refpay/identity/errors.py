"""Why a caller is turned away."""

from refpay.errors import RefpayError


class CredentialRefused(RefpayError):
    """No token, or one that nobody owns; which of the two is not said."""

    code = "credential_refused"
    title = "Authentication is needed"
    status = 401


class ScopeMissing(RefpayError):
    """The caller is known, and not entitled to this."""

    code = "scope_missing"
    title = "The token's scopes do not allow this"
    status = 403
