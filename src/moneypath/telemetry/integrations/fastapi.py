"""FastAPI: instruments an application with its own routes and serves its metrics, in one call.

FastAPI itself measures requests once a global OpenTelemetry provider is set, and exports them under the
same name. Choose one of the two; to keep this one, make the application with `FastAPI(telemetry={"tracing":
False, "metrics": False, "logs": False})`.
"""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from moneypath.telemetry.integrations import starlette
from moneypath.telemetry.recording.recorder import Recorder


def instrument(
    app: FastAPI, recorder: Recorder, *, metrics_path: str | None = starlette.METRICS_PATH
) -> None:
    """Time the application's requests and serve its metrics at `metrics_path` (None: nowhere).

    The routes that exist when the application starts become the values of the label; a later one is
    `other`. Raises TelemetryError if the application has started or already has a route for that path.
    """
    starlette.instrument(app, recorder, metrics_path=metrics_path, flatten=iter_route_contexts)
