"""requests: an adapter that records requests to a provider, in front of a session's own adapters."""

from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import exceptions as urllib3_errors

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.http_outcomes import ProviderCalls, outcome_of_broken_response
from moneypath.telemetry.recording.recorder import Recorder

Calls = ProviderCalls[requests.PreparedRequest, requests.Response]

# Errors raised before the first byte of the request was written. After any other error it may have arrived.
_NEVER_SENT = (
    requests.exceptions.ConnectTimeout,
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
)
_NEVER_CONNECTED = (
    urllib3_errors.NewConnectionError,
    urllib3_errors.ConnectTimeoutError,
    urllib3_errors.ClosedPoolError,
    urllib3_errors.EmptyPoolError,
)


def instrument(
    session: requests.Session,
    recorder: Recorder,
    *,
    provider: str,
    operation: str | Callable[[requests.PreparedRequest], str],
    classify: Callable[[requests.Response], str | None] | None = None,
    prefix: str | None = None,
) -> None:
    """Record a session's requests as attempts at one provider: all of them, or those to URLs under `prefix`.

    `operation` is one of the catalogue's, or a function that returns it for a request. `classify` returns
    the outcome of a response, such as `declined`, or None to decide by its status. Retries by an adapter
    itself (`max_retries`) count as one attempt.
    """
    calls = Calls(recorder, provider, operation, classify)
    adapters = dict(session.adapters) if prefix is None else {prefix: session.get_adapter(prefix)}
    if any(isinstance(adapter, TelemetryAdapter) for adapter in adapters.values()):
        raise TelemetryError(
            "The requests session is already instrumented.",
            hint="Instrument it once, or each attempt counts twice.",
        )
    for mounted, adapter in adapters.items():
        session.mount(mounted, TelemetryAdapter(adapter, calls))


class TelemetryAdapter(BaseAdapter):
    """Records the requests that go through another adapter, from the first byte to the end of the response.

    A response that the caller does not stream is read here, which the session would do anyway, so that one
    that breaks off is recorded as such. A streamed one is recorded at its status.
    """

    def __init__(self, inner: BaseAdapter, calls: Calls) -> None:
        super().__init__()
        self._inner = inner
        self._calls = calls

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request."""
        call = self._calls.begin(request, request.headers)
        try:
            response = self._inner.send(request, stream, timeout, verify, cert, proxies)
        except BaseException as error:
            never = is_never_sent(error) and not self._may_send_twice(request)
            call.record_error(error, Outcome.FAILED if never else Outcome.INDETERMINATE)
            raise
        if stream:
            call.record_response(response.status_code)
            return response
        try:
            _ = response.content
        except BaseException as error:
            call.record_error(
                error, outcome_of_broken_response(response.status_code), status=response.status_code
            )
            raise
        call.record_response(response.status_code, response)
        return response

    def close(self) -> None:
        """Close the other adapter."""
        self._inner.close()

    def _may_send_twice(self, request: requests.PreparedRequest) -> bool:
        """Return whether urllib3 may have sent the request before the attempt that could not connect."""
        retries = getattr(self._inner, "max_retries", None)
        if retries is None or not retries.total or retries.read in (False, 0):
            return False
        allowed = retries.allowed_methods
        return not allowed or str(request.method).upper() in allowed


def is_never_sent(error: BaseException) -> bool:
    """Return whether it is certain that no part of the request was sent."""
    if isinstance(error, _NEVER_SENT):
        return True
    # requests wraps the exception of urllib3, which wraps the reason why it could not connect.
    cause = error.args[0] if isinstance(error, requests.exceptions.ConnectionError) and error.args else None
    reason = cause.reason if isinstance(cause, urllib3_errors.MaxRetryError) else cause
    return isinstance(reason, _NEVER_CONNECTED)
