"""A call with requests has exactly one outcome, which says whether the request may have arrived."""

from collections.abc import Callable

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError
from urllib3.util import Retry

from moneypath.telemetry import LabelsUnknown, Recorder, TelemetryError, correlation
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations.requests import instrument

from .conftest import Provider

Read = Callable[..., float | None]

TIMEOUT = (30, 30)
# Where no answer comes; elsewhere a slow machine would be taken for a silent provider.
SHORT = (30, 0.3)


def classify(response: requests.Response) -> str | None:
    """Recognise a decline."""
    return "declined" if response.json().get("status") == "declined" else None


def attempts(read: Read) -> dict[str, float]:
    """Return the counted authorizations by outcome, after checking that each has a duration."""
    found: dict[str, float] = {}
    for outcome in ("succeeded", "declined", "rejected", "shed", "failed", "indeterminate", "blocked"):
        labels = {"provider": "north", "operation": "authorize", "outcome": outcome}
        count = read("moneypath_provider_attempts_total", **labels)
        assert (read("moneypath_provider_request_duration_seconds_count", **labels) or 0) == count
        if count:
            found[outcome] = count
    return found


@pytest.fixture
def session() -> requests.Session:
    """Return a session that ignores the machine's proxies."""
    made = requests.Session()
    made.trust_env = False
    return made


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/approved", "succeeded"),
        ("/declined", "declined"),
        ("/invalid", "rejected"),
        ("/busy", "shed"),
        ("/down", "failed"),
        ("/moved", "failed"),
        ("/gateway", "indeterminate"),
        ("/silent", "indeterminate"),
        ("/hangs-up", "indeterminate"),
        ("/half", "indeterminate"),
    ],
)
def test_outcome_of_a_call(
    session: requests.Session, recorder: Recorder, read: Read, provider: Provider, path: str, outcome: str
) -> None:
    """Each kind of end counts once."""
    with session:
        instrument(session, recorder, provider="north", operation="authorize", classify=classify)
        try:
            session.post(
                provider.url + path, json={"amount": 1}, timeout=SHORT if path == "/silent" else TIMEOUT
            )
        except requests.RequestException:
            assert path in ("/silent", "/hangs-up", "/half")
    assert attempts(read) == {outcome: 1}


def test_what_was_never_sent_is_failed(
    session: requests.Session, recorder: Recorder, read: Read, nobody: str
) -> None:
    """A refused connection is not indeterminate."""
    with session:
        instrument(session, recorder, provider="north", operation="authorize")
        with pytest.raises(requests.ConnectionError):
            session.post(nobody, timeout=TIMEOUT)
    assert attempts(read) == {"failed": 1}


@pytest.mark.parametrize(
    ("retries", "method", "outcome"),
    [
        (Retry(0, read=False), "GET", "failed"),
        (Retry(connect=3, read=0, total=3), "GET", "failed"),
        (Retry(3), "POST", "failed"),
        (Retry(3), "GET", "indeterminate"),
        (Retry(3, allowed_methods=None), "POST", "indeterminate"),
    ],
)
def test_adapter_that_may_have_sent_before_leaves_doubt(
    session: requests.Session, recorder: Recorder, read: Read, retries: Retry, method: str, outcome: str
) -> None:
    """Its last retry could not connect, but an earlier one may have arrived."""

    class Refused(HTTPAdapter):
        def send(self, request, *arguments, **more):  # type: ignore[no-untyped-def]
            reason = NewConnectionError(None, "refused")  # type: ignore[arg-type]
            raise requests.ConnectionError(MaxRetryError(None, "/", reason))  # type: ignore[arg-type]

    with session:
        session.mount("http://", Refused(max_retries=retries))
        instrument(session, recorder, provider="north", operation="authorize")
        with pytest.raises(requests.ConnectionError):
            session.request(method, "http://provider/")
    assert attempts(read) == {outcome: 1}


def test_streamed_answer_counts_at_its_status(
    session: requests.Session, recorder: Recorder, read: Read, provider: Provider
) -> None:
    """The caller reads the body."""
    with session:
        instrument(session, recorder, provider="north", operation="authorize", classify=classify)
        answer = session.get(f"{provider.url}/declined", stream=True, timeout=TIMEOUT)
        assert attempts(read) == {"succeeded": 1}
        assert answer.json() == {"status": "declined"}


def test_one_provider_of_a_shared_session(
    session: requests.Session, recorder: Recorder, read: Read, provider: Provider
) -> None:
    """With a prefix, other requests are not attempts and do not get our headers."""
    with session, correlation.entered(Context("request-0001")):
        instrument(
            session, recorder, provider="north", operation="authorize", prefix=f"{provider.url}/approved"
        )
        session.get(f"{provider.url}/approved", timeout=TIMEOUT)
        session.get(f"{provider.url}/down", timeout=TIMEOUT)
    assert attempts(read) == {"succeeded": 1}
    assert [headers.get("x-correlation-id") for headers in provider.received] == ["request-0001", None]


def test_wiring_mistakes_are_refused(session: requests.Session, recorder: Recorder) -> None:
    """An undeclared provider, and a session that is already instrumented, are refused."""
    with session:
        with pytest.raises(LabelsUnknown, match="unknown_value"):
            instrument(session, recorder, provider="west", operation="authorize")
        instrument(session, recorder, provider="north", operation="authorize")
        with pytest.raises(TelemetryError, match="already"):
            instrument(session, recorder, provider="north", operation="authorize")
