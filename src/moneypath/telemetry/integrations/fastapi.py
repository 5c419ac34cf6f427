"""FastAPI: the middleware with the application's own routes, and its metrics, in one call.

FastAPI measures requests itself as soon as a global OpenTelemetry provider is set, and under the same
name once that is exported. Choose one of the two; to keep this one, make the application with
`FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})`.
"""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from moneypath.telemetry.integrations import starlette
from moneypath.telemetry.recording.recorder import Recorder


def instrument(
    app: FastAPI, recorder: Recorder, *, metrics_path: str | None = starlette.METRICS_PATH
) -> None:
    """Time the application's requests and serve its metrics at `metrics_path` (None: nowhere).

    The routes that the application has when it starts become the values of the label; one added later
    is `other`. Raises TelemetryError if the application has started or has a route for that path.
    """
    starlette.instrument(app, recorder, metrics_path=metrics_path, flatten=iter_route_contexts)
