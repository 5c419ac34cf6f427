"""Why a caller is turned away."""

from refpay.errors import RefpayError


class CredentialRefused(RefpayError, code="credential_refused", status=401):
    """No token, or one that is not accepted; why is not said."""

    title = "Authentication is needed"


class ScopeMissing(RefpayError, code="scope_missing", status=403):
    """The caller is known, and not entitled to this."""

    title = "The token's scopes do not allow this"


class SignatureRefused(RefpayError, code="signature_refused", status=401):
    """A signed request whose signature is missing, wrong, or of another time; which is not said."""

    title = "The request's signature is not accepted"


class SignatureReplayed(RefpayError, code="signature_replayed", status=403):
    """A rightly signed request that was here before."""

    title = "The signed request was sent before"


class TokenRequestInvalid(RefpayError, code="invalid_request", status=400):
    """A token request that is not one; codes of these four are those of RFC 6749, section 5.2."""

    title = "The token request is malformed"


class ClientRefused(RefpayError, code="invalid_client", status=401):
    """An unknown client or a wrong secret; which of the two is not said."""

    title = "The client is not accepted"


class GrantUnsupported(RefpayError, code="unsupported_grant_type", status=400):
    """Another grant than client credentials."""

    title = "The grant type is not supported"


class ScopeRefused(RefpayError, code="invalid_scope", status=400):
    """Scopes that are unknown, not the client's, or never together in one token."""

    title = "The scopes cannot be granted"


class TokenRateExceeded(RefpayError, code="token_rate_exceeded", status=429, retry_after_seconds=1):
    """More token requests than anybody needs who keeps a token until it runs out."""

    title = "Too many token requests: keep a token until it runs out"


class ApprovalUnknown(RefpayError, code="approval_unknown", status=404):
    """There is no such approval."""

    title = "There is no such approval"


class ApprovalRefused(RefpayError, code="approval_refused", status=409):
    """An approval that this principal cannot decide, or not any more."""

    title = "The approval cannot be decided"


class SecondPersonNeeded(ApprovalRefused, code="second_person_needed", status=403):
    """Whoever asks for something cannot agree to it too."""

    title = "Another person has to decide"
