"""The base install, structlog and nothing else, records, renders and serves."""

import subprocess
import sys
from pathlib import Path

import structlog

SOURCE = Path(__file__).parents[2] / "src"
LIBRARIES = (
    *("aio_pika", "aiokafka", "asyncpg", "celery", "django", "fastapi", "flask", "httpx", "nats"),
    *("opentelemetry", "prometheus_client", "psycopg", "requests", "sqlalchemy", "starlette"),
)

SERVICE = """
import io, sys
from moneypath.telemetry import correlation, logs, setup
from moneypath.telemetry.integrations import asgi, http_outcomes, http_server, routes, wsgi

recorder = setup(service="checkout", providers=["north"], currencies=["EUR"])
def app(environ, start_response):
    with recorder.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    start_response("200 OK", [])
    return [b""]
observed = wsgi.TelemetryMiddleware(app, recorder, ["/payments"])
list(observed({"REQUEST_METHOD": "POST", "PATH_INFO": "/payments"}, lambda status, headers: None))
asgi.TelemetryMiddleware(None, recorder, ["/payments"])
logs.configure("checkout", io.StringIO())
scrape = recorder.render().decode()
print(scrape.count('http_server_request_duration_seconds_count{http_request_method="POST"'))
for library in sys.argv[1:]:
    try:
        __import__(library)
    except ImportError:
        continue
    print("is there:", library)
"""


def test_base_install_needs_structlog_alone(tmp_path: Path) -> None:
    """Python without its site-packages finds our source and structlog, and the library works whole."""
    (tmp_path / "structlog").symlink_to(Path(structlog.__file__).parent, target_is_directory=True)
    run = subprocess.run(
        # -S: no site-packages at all, hence none of what the extras bring.
        [sys.executable, "-S", "-W", "error", "-c", SERVICE, *LIBRARIES],
        env={"PYTHONPATH": f"{SOURCE}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "1\n"
