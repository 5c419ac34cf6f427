"""Flask: instruments an application with its own routes and serves its metrics, in one call."""

import re
from collections.abc import Iterator

from flask import Flask, Response, request, request_started

from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.wsgi import ROUTE, TelemetryMiddleware, render
from moneypath.telemetry.recording.recorder import Recorder

# <name>, <converter:name>, <converter(arguments):name>
_PARAMETER = re.compile(r"<(?:([A-Za-z_]\w*)(?:\([^)]*\))?:)?([A-Za-z_]\w*)>")


def instrument(app: Flask, recorder: Recorder, *, metrics_path: str | None = "/metrics") -> None:
    """Time the application's requests and serve its metrics at `metrics_path` (None: nowhere).

    The routes that the application has at its first request become the values of the label. Raises
    TelemetryError if the application has a route for that path.
    """
    if metrics_path is not None:
        _serve_metrics(app, recorder, metrics_path)
    request_started.connect(_note_route, app)

    def own_templates() -> Iterator[str]:
        return (template(rule.rule) for rule in app.url_map.iter_rules())

    app.wsgi_app = TelemetryMiddleware(app.wsgi_app, recorder, own_templates)  # type: ignore[method-assign]


def template(rule: str) -> str:
    """Return Flask's `/payments/<int:number>` as `/payments/{number}`."""
    return _PARAMETER.sub(lambda found: "{" + found[2] + (":path" if found[1] == "path" else "") + "}", rule)


def _note_route(_app: Flask, **_: object) -> None:
    rule = request.url_rule
    if rule is not None:
        request.environ[ROUTE] = template(rule.rule)


def _serve_metrics(app: Flask, recorder: Recorder, path: str) -> None:
    if any(rule.rule == path for rule in app.url_map.iter_rules()):
        raise TelemetryError(
            f"The application already has a route for {path}.", hint="Give another metrics_path."
        )

    def metrics() -> Response:
        content, content_type = render(recorder, request.headers.get("Accept", ""))
        return Response(content, content_type=content_type, headers={"Vary": "Accept"})

    app.add_url_rule(path, "moneypath_metrics", metrics)
