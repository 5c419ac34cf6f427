"""One call instruments a Flask application under its own routes."""

from collections.abc import Iterator

import flask
import httpx
import pytest
from flask import Blueprint, Flask

from moneypath.telemetry import Recorder, TelemetryError, correlation
from moneypath.telemetry.integrations.flask import instrument, template

from .conftest import CountRequests, serving_wsgi


def payments() -> Flask:
    """Return an application with routes of several kinds."""
    app = Flask("payments")
    v1 = Blueprint("v1", "payments")

    @v1.get("/payments/<int:number>")
    def numbered(number: int) -> dict[str, object]:
        return {"number": number, "correlation_id": correlation.current()}

    @v1.get("/payments/<string(length=2):country>")
    def of_country(country: str) -> dict[str, str]:
        return {"country": country}

    @app.get("/exports/<path:name>")
    def export(name: str) -> Iterator[bytes]:
        return iter([name.encode(), (correlation.current() or "").encode()])

    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError

    app.register_blueprint(v1, url_prefix="/v1")
    return app


def test_requests_are_counted_under_the_routes_that_flask_matched(
    recorder: Recorder, counted: CountRequests
) -> None:
    """Two routes that match the same path are distinct; unknown paths and methods are `other` and 405."""
    app = payments()
    instrument(app, recorder)
    with serving_wsgi(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/v1/payments/7", headers={"x-correlation-id": "abcd-1234"})
        assert answer.json() == {"number": 7, "correlation_id": "abcd-1234"}
        assert answer.headers["x-correlation-id"] == "abcd-1234"
        assert client.get("/v1/payments/de").json() == {"country": "de"}
        assert client.get("/exports/a/b").text.startswith("a/b")
        assert client.get("/broken").status_code == 500
        assert client.get("/nowhere").status_code == 404
        assert client.post("/broken").status_code == 405
        assert 'http_route="/v1/payments/{number}"' in client.get("/metrics").text
    assert counted("GET", "/v1/payments/{number}", "200") == 1
    assert counted("GET", "/v1/payments/{country}", "200") == 1
    assert counted("GET", "/exports/{name:path}", "200") == 1
    assert counted("GET", "/broken", "500") == 1
    assert counted("POST", "/broken", "405") == 1
    assert counted("GET", "other", "404") == 1
    assert counted("GET", "/metrics", "200") == 1


def test_route_added_before_the_first_request_is_known(recorder: Recorder, counted: CountRequests) -> None:
    """Routes are read at the first request, not when instrument() is called."""
    app = Flask("late")
    instrument(app, recorder)
    app.add_url_rule("/late", "late", lambda: "ok")
    with app.test_client() as client:
        assert client.get("/late").text == "ok"
    assert counted("GET", "/late", "200") == 1


def test_metrics_answer_openmetrics_when_asked(recorder: Recorder) -> None:
    """The metrics are served only if the application wants them."""
    app = Flask("asked")
    instrument(app, recorder)
    answer = app.test_client().get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    silent = Flask("silent")
    instrument(silent, recorder, metrics_path=None)
    assert silent.test_client().get("/metrics").status_code == 404


def test_path_that_is_taken_is_refused(recorder: Recorder) -> None:
    """The error names the path; otherwise the first route would win silently."""
    app = Flask("taken")
    app.add_url_rule("/metrics", "own", lambda: "own")
    with pytest.raises(TelemetryError, match="already"):
        instrument(app, recorder)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/", "/"),
        ("/<name>", "/{name}"),
        ("/a/<int:number>/b", "/a/{number}/b"),
        ("/<path:rest>", "/{rest:path}"),
        ("/<any(visa, amex):scheme>/<string(length=2):country>", "/{scheme}/{country}"),
        ("/{braces}", "/{braces}"),
    ],
)
def test_rule_becomes_a_template(rule: str, expected: str) -> None:
    """Converters are removed, names stay."""
    assert template(rule) == expected


def test_flask_is_not_changed(recorder: Recorder) -> None:
    """Only this application's WSGI callable is wrapped."""
    observed, other = Flask("observed"), Flask("other")
    instrument(observed, recorder)
    assert type(other.wsgi_app) is not type(observed.wsgi_app)
    assert flask.Flask.wsgi_app is Flask.wsgi_app
    assert "x-correlation-id" not in other.test_client().get("/").headers
