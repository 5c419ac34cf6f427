"""A Django project is observed by one line in its settings, whether it runs on WSGI or on ASGI.

Django has one configuration a process, so each test runs a project in a process of its own.
"""

import json
import subprocess
import sys

import pytest

from moneypath.telemetry.integrations.django import template

PROJECT = """
import asyncio, json, sys
from django.conf import settings
from moneypath.telemetry import correlation, setup
from moneypath.telemetry.integrations.django import instrument

recorder = setup(service="shop", providers=["north"], currencies=["EUR"])
options = {"ROOT_URLCONF": "__main__", "ALLOWED_HOSTS": ["*"], "SECRET_KEY": "x", "DEBUG": False}
options |= {"LOGGING_CONFIG": None}
instrument(options, recorder)
settings.configure(**options)

import django
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path, re_path

django.setup()

def payment(request, number):
    return JsonResponse({"number": number, "correlation_id": correlation.current()})

async def payment_async(request, number):
    await asyncio.sleep(0)
    return JsonResponse({"number": number, "correlation_id": correlation.current()})

def broken(request):
    raise ZeroDivisionError

def chunks():
    yield (correlation.current() or "").encode()
    yield b"."

async def chunks_async():
    for chunk in chunks():
        yield chunk

def export(request, name):
    return StreamingHttpResponse(chunks())

async def export_async(request):
    return StreamingHttpResponse(chunks_async())

urlpatterns = [
    path("v1/", include([
        path("payments/<int:number>/", payment),
        re_path(r"^orders/(?P<number>[0-9]{1,9})/$", payment),
    ])),
    path("async/<int:number>/", payment_async),
    path("exports/<path:name>", export),
    path("async-export/", export_async),
    path("broken/", broken),
]

def samples():
    lines = recorder.render().decode().splitlines()
    found = [line for line in lines if line.startswith("http_server_request_duration_seconds_count")]
    return {name: float(count) for name, _, count in (line.rpartition(" ") for line in found)}

PATHS = ("/v1/payments/7/", "/v1/orders/8/", "/async/9/")
ID = {"x-correlation-id": "abcd-1234"}
"""

SYNC = """
client = Client(raise_request_exception=False)
bodies = [client.get(path, headers=ID) for path in PATHS]
streamed = client.get("/exports/a/b", headers=ID)
before = samples()
text = b"".join(streamed.streaming_content).decode()
left = client.get("/exports/c")
left.close()
others = [client.get("/broken/").status_code, client.get("/nowhere/").status_code]
metrics = client.get("/metrics")
"""

ASYNC = """
async def main():
    client = AsyncClient(raise_request_exception=False)
    bodies = [await client.get(path, headers=ID) for path in PATHS]
    streamed = await client.get("/async-export/", headers=ID)
    before = samples()
    text = b"".join([chunk async for chunk in streamed.streaming_content]).decode()
    left = await client.get("/async-export/")
    left.close()
    others = [(await client.get("/broken/")).status_code, (await client.get("/nowhere/")).status_code]
    return bodies, before, text, others, await client.get("/metrics")
bodies, before, text, others, metrics = asyncio.run(main())
"""

TELL = """
print(json.dumps({
    "bodies": [answer.json() for answer in bodies], "ids": [answer["x-correlation-id"] for answer in bodies],
    "before": before, "text": text, "others": others, "after": samples(), "type": metrics["content-type"],
}))
"""


def run(*parts: str) -> dict[str, object]:
    """Run a project and return what it reported."""
    script = "\n".join([PROJECT, *parts, TELL])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def series(route: str, status: str = "200") -> str:
    """Return the name of a sample."""
    labels = f'http_request_method="GET",http_route="{route}",http_response_status_code="{status}"'
    return f"http_server_request_duration_seconds_count{{{labels}}}"


@pytest.mark.parametrize(
    ("kind", "streaming"), [(SYNC, "/exports/{name:path}"), (ASYNC, "/async-export/")], ids=["wsgi", "asgi"]
)
def test_project_is_observed(kind: str, streaming: str) -> None:
    """Nested, regular and asynchronous routes, a failure, a complete stream and an abandoned one."""
    told = run(kind)
    assert told["bodies"] == [{"number": n, "correlation_id": "abcd-1234"} for n in (7, "8", 9)]
    assert told["ids"] == ["abcd-1234"] * 3
    assert told["others"] == [500, 404]
    assert told["text"] == "abcd-1234."
    assert told["type"] == "text/plain; version=0.0.4; charset=utf-8"
    before, after = told["before"], told["after"]
    assert isinstance(before, dict)
    assert series(streaming) not in before
    assert after == {
        series("/v1/payments/{number}/"): 1,
        series("/v1/orders/{number}/"): 1,
        series("/async/{number}/"): 1,
        series(streaming): 2,
        series("/broken/", "500"): 1,
        series("other", "404"): 1,
        series("/metrics"): 1,
    }


def test_settings_without_a_recorder_are_refused() -> None:
    """The error comes when the middleware is loaded, before the first request."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROJECT + 'settings.MONEYPATH_RECORDER = "json.dumps"\nClient().get("/broken/")',
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "MONEYPATH_RECORDER is not a recorder" in done.stderr


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", "/"),
        ("payments/<int:number>/", "/payments/{number}/"),
        ("files/<path:name>", "/files/{name:path}"),
        ("<slug>/", "/{slug}/"),
        (r"^orders/(?P<year>[0-9]{4})/(?P<id>\d+)/$", "/orders/{year}/{id}/"),
        (r"^v1/(\w+)/$", "/v1/{var}/"),
    ],
)
def test_route_becomes_a_template(route: str, expected: str) -> None:
    """Converters and expressions are removed, names stay."""
    assert template(route) == expected
