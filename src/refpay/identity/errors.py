"""Why a caller is turned away."""

from refpay.errors import RefpayError


class CredentialRefused(RefpayError, code="credential_refused", status=401):
    """Authentication is needed."""

    # No token, or one that is not accepted; why is not said.


class ScopeMissing(RefpayError, code="scope_missing", status=403):
    """The token's scopes do not allow this."""


class SignatureRefused(RefpayError, code="signature_refused", status=401):
    """The request's signature is not accepted."""

    # Missing, wrong, or of another time; which is not said.


class SignatureReplayed(RefpayError, code="signature_replayed", status=403):
    """The signed request was sent before."""


class TokenRequestInvalid(RefpayError, code="invalid_request", status=400):
    """The token request is malformed."""

    # Its code, and those of the next three, are of RFC 6749, section 5.2.


class ClientRefused(RefpayError, code="invalid_client", status=401):
    """The client is not accepted."""

    # Unknown, or a wrong secret; which of the two is not said.


class GrantUnsupported(RefpayError, code="unsupported_grant_type", status=400):
    """The grant type is not supported."""


class ScopeRefused(RefpayError, code="invalid_scope", status=400):
    """The scopes cannot be granted."""

    # Unknown, not the client's, or never together in one token.


class TokenRateExceeded(RefpayError, code="token_rate_exceeded", status=429, retry_after_seconds=1):
    """Too many token requests: keep a token until it runs out."""


class ApprovalUnknown(RefpayError, code="approval_unknown", status=404):
    """There is no such approval."""


class ApprovalRefused(RefpayError, code="approval_refused", status=409):
    """The approval cannot be decided."""

    # By this principal, or not any more.


class SecondPersonNeeded(ApprovalRefused, code="second_person_needed", status=403):
    """Another person has to decide."""
