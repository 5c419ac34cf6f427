"""Why a caller is turned away."""

from refpay.errors import RefpayError


class CredentialRefused(RefpayError):
    """No token, or one that is not accepted; why is not said."""

    code = "credential_refused"
    title = "Authentication is needed"
    status = 401


class ScopeMissing(RefpayError):
    """The caller is known, and not entitled to this."""

    code = "scope_missing"
    title = "The token's scopes do not allow this"
    status = 403


class SignatureRefused(RefpayError):
    """A signed request whose signature is missing, wrong, or of another time; which is not said."""

    code = "signature_refused"
    title = "The request's signature is not accepted"
    status = 401


class SignatureReplayed(RefpayError):
    """A rightly signed request that was here before."""

    code = "signature_replayed"
    title = "The signed request was sent before"
    status = 403


class TokenRequestInvalid(RefpayError):
    """A token request that is not one; codes of these four are those of RFC 6749, section 5.2."""

    code = "invalid_request"
    title = "The token request is malformed"
    status = 400


class ClientRefused(RefpayError):
    """An unknown client or a wrong secret; which of the two is not said."""

    code = "invalid_client"
    title = "The client is not accepted"
    status = 401


class GrantUnsupported(RefpayError):
    """Another grant than client credentials."""

    code = "unsupported_grant_type"
    title = "The grant type is not supported"
    status = 400


class ScopeRefused(RefpayError):
    """Scopes that are unknown, not the client's, or never together in one token."""

    code = "invalid_scope"
    title = "The scopes cannot be granted"
    status = 400


class TokenRateExceeded(RefpayError):
    """More token requests than anybody needs who keeps a token until it runs out."""

    code = "token_rate_exceeded"
    title = "Too many token requests: keep a token until it runs out"
    status = 429
    retryable = True
    retry_after_seconds = 1


class ApprovalUnknown(RefpayError):
    """There is no such approval."""

    code = "approval_unknown"
    title = "There is no such approval"
    status = 404


class ApprovalRefused(RefpayError):
    """An approval that this principal cannot decide, or not any more."""

    code = "approval_refused"
    title = "The approval cannot be decided"
    status = 409


class SecondPersonNeeded(ApprovalRefused):
    """Whoever asks for something cannot agree to it too."""

    code = "second_person_needed"
    title = "Another person has to decide"
    status = 403
