"""Alive and ready; for machines of the house, so without a token."""

from fastapi import APIRouter, Response

from refpay.app.responses import json_response
from refpay.db.pool import Database


def health_routes(database: Database) -> APIRouter:
    """Return /healthz (the process answers) and /readyz (so does its database)."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> Response:
        return json_response(b'{"status":"alive"}')

    @router.get("/readyz")
    async def readyz() -> Response:
        await database.ping()
        return json_response(b'{"status":"ready"}')

    return router
