"""A service of another team: top-ups, brownouts and a pause switch, with none of our names or code."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import web

KEY: Final = "key-of-the-wallet"
WORD: Final = "password-of-the-operator"
DUTY: Final = {"oncall": "duty-key-one", "backup": "duty-key-two"}


@dataclass(slots=True)
class Wallet:
    """The state of the service; `lies` are what it does otherwise than its target's file says."""

    lies: set[str] = field(default_factory=set)
    synthetic: int = 0
    brownouts: dict[str, tuple[float, int]] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    beat_at: object = None
    booked: list[tuple[str, float]] = field(default_factory=list)

    def application(self) -> web.Application:
        """Return the service."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/topups", self._top_up),
                web.get("/metrics", self._metrics),
                web.post("/brownouts/{bank}", self._begin),
                web.put("/brownouts/{bank}/{id}", self._renew),
                web.get("/brownouts", self._list),
                web.delete("/brownouts/{bank}/{id}", self._end),
                web.post("/switch/{bank}/{state}", self._switch),
                web.get("/delivered", self._delivered),
                web.post("/delivered/{seq}/seen", self._seen),
                web.get("/beat", self._beat),
                web.get("/book", self._book),
            ]
        )
        return app

    def _browned_out(self) -> bool:
        return any(until > time.monotonic() for until, _ in self.brownouts.values())

    async def _top_up(self, request: web.Request) -> web.Response:
        self.calls.append("top-up")
        if request.headers.get("X-Wallet-Key") != KEY:
            return web.json_response({"error": "who are you", "key": KEY}, status=401)
        if "synthetic" in request.headers and "unmarked" not in self.lies:
            self.synthetic += 1
        if self._browned_out() or "broken" in self.lies:
            return web.json_response({"error": "bank gone"}, status=502)
        body = await request.json()
        assert body["amount"] == {"minor": 100, "currency": "EUR"}
        return web.json_response({"topup": {"state": "PARKED" if "parked" in self.lies else "APPLIED"}})

    async def _metrics(self, _: web.Request) -> web.Response:
        text = f'# TYPE wallet_ops_total counter\nwallet_ops_total{{kind="synthetic"}} {self.synthetic}\n'
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _begin(self, request: web.Request) -> web.Response:
        self.calls.append("begin")
        body = await request.json()
        assert set(body) == {"share", "for_seconds"}, body
        assert body["share"] == 0.25
        name = secrets.token_hex(4)
        self.brownouts[name] = (time.monotonic() + body["for_seconds"], 3)
        return web.json_response({"brownout": {} if "no id" in self.lies else {"name": name}}, status=201)

    async def _renew(self, request: web.Request) -> web.Response:
        self.calls.append("renew")
        return web.json_response({}, status=500 if "no renewal" in self.lies else 200)

    async def _list(self, _: web.Request) -> web.Response:
        listed = [{"name": name, "hits": hits} for name, (_, hits) in self.brownouts.items()]
        return web.json_response({"brownouts": listed})

    async def _end(self, request: web.Request) -> web.Response:
        self.calls.append("end")
        known = request.match_info["id"] in self.brownouts
        if "stays" not in self.lies:
            self.brownouts.pop(request.match_info["id"], None)
        return web.json_response({}, status=404 if "ends once" in self.lies and not known else 200)

    async def _switch(self, request: web.Request) -> web.Response:
        bank, state = request.match_info["bank"], request.match_info["state"]
        self.calls.append(state)
        key = request.headers["Idempotency-Key"]
        repeated = key in self.keys
        self.keys.append(key)
        if ("not idempotent" in self.lies and repeated) or ("no undo" in self.lies and state == "on"):
            return web.json_response({"error": "conflict"}, status=409)
        if state == "off":
            self.paused[bank] = (await request.json())["why"]
        else:
            self.paused.pop(bank, None)
        return web.json_response({"bank": bank, "ok": True})

    async def _delivered(self, request: web.Request) -> web.StreamResponse:
        if "endless" in self.lies:
            return await _endless(request)
        usual = {"seq": 1, "at": 1.5, "role": "oncall", "status": "firing", "alerts": []}
        pages = [dict(page) for page in self.pages or [usual]]
        if "pages without roles" in self.lies:
            del pages[0]["role"]
        if "every page again" not in self.lies:
            pages = [page for page in pages if page["seq"] > int(request.query["after"])]
        filler = "x" * 2_000_000 if "huge" in self.lies else ""
        return web.json_response({"pages": pages, "filler": filler})

    async def _seen(self, request: web.Request) -> web.Response:
        seq, key = int(request.match_info["seq"]), request.headers.get("X-Duty-Key", "")
        role = next((role for role, word in DUTY.items() if word == key), "")
        paged = next((page["role"] for page in self.pages if page["seq"] == seq), None)
        if role != paged and "anybody" not in self.lies:
            return web.json_response({"error": "not yours", "key": key}, status=403)
        self.acknowledged.append((seq, role))
        return web.json_response({"principal": f"{role} of the shift, with {key}"})

    async def _beat(self, _: web.Request) -> web.Response:
        return web.json_response({"last_at": self.beat_at})

    async def _book(self, request: web.Request) -> web.StreamResponse:
        """Count what a bank was asked for in a time, by the bank's clock."""
        if "endless" in self.lies:
            return await _endless(request)
        since, until = float(request.query["since"]), float(request.query["until"])
        bank, of_others = request.query["bank"], "others" in request.query
        rows = [at for name, at in self.booked if (name != bank) == of_others and since <= at < until]
        count: object = len(rows)
        if "no count" in self.lies:
            count = "many"
        filler = "x" * 2_000_000 if "huge" in self.lies else ""
        if "gossip" in self.lies:
            return web.json_response(
                {"error": f"no, not even with {request.headers['X-Wallet-Key']}"}, status=500
            )
        return web.json_response({"count": count, "filler": filler})


async def _endless(request: web.Request) -> web.StreamResponse:
    """Answer a little, and the rest never."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b'{"')
    await asyncio.Event().wait()
    return answer


def target_file(folder: Path, **changes: Any) -> Path:
    """Write the wallet's target file into `folder`, with its secrets, and return it."""
    return write_target(folder, DOCUMENT | changes)


def write_target(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write a target's file into `folder`, with the wallet's secrets, and return it."""
    duty = {f"duty_{role}": key for role, key in DUTY.items()}
    for name, text in {"wallet_key": KEY, "operator": WORD, **duty}.items():
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    file = folder / "wallet.yaml"
    # By way of JSON: the file may hold no aliases.
    plain = json.loads(json.dumps(document))
    file.write_text(yaml.safe_dump(plain, sort_keys=False))
    return file


def _request(method: str, path: str, **more: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": "${wallet}" + path, **more}}


def _switch(title: str, state: str, undo: str, **more: Any) -> dict[str, Any]:
    headers, body = {"Idempotency-Key": "{idempotency_key}"}, {"why": "{reason}"}
    asked = _request("POST", "/switch/{bank}/" + state, headers=headers, json=body)
    call = asked | {"good": {"fields": {"ok": True}}}
    return {"title": title, "arguments": ["bank"], "undo": undo, "call": call, **more}


DOCUMENT: Final[dict[str, Any]] = {
    "target": "wallet",
    "environment": "staging",
    "drillable": True,
    "variables": {"wallet": None, "prometheus": None, "alertmanager": None},
    "places": {"bank-one": {"at": "bank-one"}},
    "look": {
        "prometheus": {"url": "${prometheus}"},
        "alertmanager": {"url": "${alertmanager}"},
        "pages": {"request": {"url": "${wallet}/delivered?after={after}&wait_seconds={wait_seconds}"}},
    },
    "canary": {
        "marked_by": 'wallet_ops_total{kind="synthetic"}',
        "call": _request(
            "POST",
            "/topups",
            headers={"synthetic": "yes"},
            auth={"kind": "header", "name": "X-Wallet-Key", "value_file": "wallet_key"},
            json={"reference": "canary {unique}", "amount": {"minor": 100, "currency": "EUR"}},
        )
        | {"good": {"status": [200], "fields": {"topup.state": "APPLIED"}}},
    },
    "load": {"live": True},
    "faults": {
        "bank": {
            "where": ["bank-one"],
            "begin": _request(
                "POST",
                "/brownouts/{at}",
                json={"share": "{share}", "reason": "{reason}", "for_seconds": "{lease_seconds}"},
            )
            | {"good": {"status": [201]}},
            "id": "brownout.name",
            "renew": _request("PUT", "/brownouts/{at}/{fault_id}"),
            "end": _request("DELETE", "/brownouts/{at}/{fault_id}"),
            "hits": _request("GET", "/brownouts"),
            "hits_field": "brownouts[name].hits",
            "kinds": {
                "brownout": {
                    "title": "The bank answers with errors",
                    "params": {
                        "share": {"type": "number", "least": 0, "most": 1},
                        "reason": {"type": "text", "optional": True},
                    },
                    "harmless": {"where": "bank-one", "params": {"share": 0.25}},
                }
            },
        }
    },
    "actions": {
        "bank.off": _switch("Send nothing to a bank", "off", "bank.on", try_with=["bank-one"]),
        "bank.on": _switch("Send to a bank again", "on", "bank.off"),
    },
    "witnesses": "witnesses.yaml",
}


def write_witnesses(
    folder: Path,
    *,
    booked: int = 100,
    told: int = 100,
    at: float | None = None,
    reconcile: Mapping[str, Any] | None = None,
) -> None:
    """Write three witnesses of one top-up a minute ago, as files of JSON lines."""
    when = time.time() - 60 if at is None else at
    asked = {"idempotency_key": "i1", "merchant_reference": "r1", "kind": "TOPUP", "beneficiary": "ada"}
    booked_by_us = {
        "entry_id": "e1",
        "provider_key": "k1",
        "payment_id": "p1",
        "posted_at": when,
        "provider": "bank-one",
    }
    lines: dict[str, dict[str, object]] = {
        "rows": {**asked, **booked_by_us, "amount": 100},
        "bank": {
            "provider": "bank-one",
            "key": "k1",
            "kind": "credit",
            "reference": "r1",
            "amount": booked,
            "at": when,
        },
        "told": {**asked, "amount": told, "at": when, "outcome": "succeeded"},
    }
    for name, line in lines.items():
        (folder / f"{name}.jsonl").write_text(json.dumps({"currency": "EUR", **line}) + "\n")
    joined = reconcile or {"id": "wallet", "ledger": "rows", "books": ["bank"], "answers": "told"}
    kinds = {"capture": ["TOPUP"]}
    document = {
        "currencies": {"EUR": 2},
        "witnesses": [
            {"id": "rows", "role": "ledger", "file": "rows.jsonl", "shape": "single", "kinds": kinds},
            {"id": "bank", "role": "book", "file": "bank.jsonl", "kinds": {"capture": ["credit"]}},
            {"id": "told", "role": "answers", "file": "told.jsonl", "kinds": kinds},
        ],
        "reconcile": [joined],
    }
    (folder / "witnesses.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(document))))
