"""A shop's till on Flask: it books each sale with its two sides, and counts with prometheus_client alone."""

import sys
import time
import uuid
from pathlib import Path

import psycopg
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

TABLES = """
CREATE TABLE IF NOT EXISTS sale (id uuid PRIMARY KEY, cents bigint NOT NULL, sold_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS side (sale uuid NOT NULL, account text NOT NULL, cents bigint NOT NULL);
"""
SIDES = "INSERT INTO side VALUES (%(id)s, 'drawer', %(cents)s), (%(id)s, 'revenue', -%(cents)s)"


def create_app(dsn: str) -> Flask:
    """Return the till; its tables are there when this returns."""
    app, registry = Flask("till"), CollectorRegistry()
    sales = Counter("till_sales", "Sales by how they ended.", ["kind", "result"], registry=registry)
    seconds = Histogram("till_sale_seconds", "Time of a sale.", registry=registry)
    for kind in ("customer", "probe"):
        for result in ("sold", "failed"):
            sales.labels(kind, result)
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES)

    @app.post("/sales")
    def sell() -> tuple[dict[str, str], int]:
        kind = "probe" if request.headers.get("X-Probe") else "customer"
        row = {"id": uuid.uuid4(), "cents": int(request.get_json()["cents"])}
        begun = time.perf_counter()
        try:
            with psycopg.connect(dsn, connect_timeout=2, options="-c lock_timeout=300") as connection:
                connection.execute("INSERT INTO sale VALUES (%(id)s, %(cents)s, now())", row)
                connection.execute(SIDES, row)
        except psycopg.Error:
            sales.labels(kind, "failed").inc()
            return {"state": "failed"}, 503
        finally:
            seconds.observe(time.perf_counter() - begun)
        sales.labels(kind, "sold").inc()
        return {"state": "sold"}, 201

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return app


if __name__ == "__main__":
    create_app(Path(sys.argv[1]).read_text().strip()).run(port=int(sys.argv[2]), threaded=True)
