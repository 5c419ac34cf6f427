"""Define why a sender is refused."""

from refpay.errors import RefpayError


class CredentialRefused(RefpayError, code="credential_refused", status=401):
    """Authentication is needed."""

    # No token, or one that is not accepted. The reason is not revealed.


class ScopeMissing(RefpayError, code="scope_missing", status=403):
    """The token's scopes do not allow this."""


class SignatureRefused(RefpayError, code="signature_refused", status=401):
    """The request's signature is not accepted."""

    # Missing, wrong, or too old. Which of them is not revealed.


class SignatureReplayed(RefpayError, code="signature_replayed", status=403):
    """The signed request was sent before."""


class TokenRequestInvalid(RefpayError, code="invalid_request", status=400):
    """The token request is malformed."""

    # This code and the next three are those of RFC 6749, section 5.2.


class ClientRefused(RefpayError, code="invalid_client", status=401):
    """The client is not accepted."""

    # Unknown, or a wrong secret. Which of the two is not revealed.


class GrantUnsupported(RefpayError, code="unsupported_grant_type", status=400):
    """The grant type is not supported."""


class ScopeRefused(RefpayError, code="invalid_scope", status=400):
    """The scopes cannot be granted."""

    # Unknown, not granted to the client, or not allowed together in one token.


class TokenRateExceeded(RefpayError, code="token_rate_exceeded", status=429, retry_after_seconds=1):
    """Too many token requests: keep a token until it expires."""


class ApprovalUnknown(RefpayError, code="approval_unknown", status=404):
    """There is no such approval."""


class ApprovalRefused(RefpayError, code="approval_refused", status=409):
    """The approval cannot be decided."""

    # Not by this principal, or not any more.


class SecondPersonNeeded(ApprovalRefused, code="second_person_needed", status=403):
    """Another person has to decide."""
