"""Faults as leases in the target: each ends by itself when nobody renews it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from moneypath.drills.timeline_entry import FaultParams, TimelineEntry
from moneypath.errors import MoneypathError

REQUEST_SECONDS: Final = 5.0


class FaultControlFailed(MoneypathError):
    """The fault controls of a target refused a request or did not answer."""

    code = "fault_control_failed"


class FaultControl:
    """A client of the fault controls of one provider."""

    def __init__(self, provider: str, url: str, token_file: Path) -> None:
        self.provider = provider
        self._url, self._token_file = url, token_file
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        token = self._token_file.read_text(encoding="utf-8").strip()
        self._session = aiohttp.ClientSession(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def begin(self, step: TimelineEntry, *, seed: int, lease_seconds: float) -> str:
        """Begin the fault of `step` and return its id in the target."""
        if step.fault is None or step.params is None:
            raise ValueError(f"timeline entry begins no fault: {step.id}")
        body = _body(step.fault, step.params, seed=seed, lease_seconds=lease_seconds)
        answer = await self._call("POST", "/control/faults", body)
        fault_id: str = answer["id"]
        return fault_id

    async def renew(self, fault_id: str, lease_seconds: float) -> None:
        """Extend the lease of an active fault by `lease_seconds`."""
        await self._call("PUT", f"/control/faults/{fault_id}/lease", {"lease_seconds": lease_seconds})

    async def end(self, fault_id: str) -> None:
        """End one fault; one that has ended already is no error."""
        await self._call("DELETE", f"/control/faults/{fault_id}", None, gone_is_fine=True)

    async def end_all(self) -> None:
        """End every fault of this target, whoever began it."""
        await self._call("DELETE", "/control/faults", None)

    async def active(self) -> list[Mapping[str, Any]]:
        """Return the faults that are active now."""
        faults: list[Mapping[str, Any]] = (await self._call("GET", "/control/faults", None))["faults"]
        return faults

    async def _call(self, method: str, path: str, body: object, *, gone_is_fine: bool = False) -> Any:
        if self._session is None:
            raise RuntimeError("FaultControl is used outside its `async with` block")
        try:
            async with self._session.request(method, path, json=body) as answer:
                if gone_is_fine and answer.status == 404:
                    return {}
                text = await answer.text()
                if answer.status >= 300:
                    raise FaultControlFailed(
                        f"{self.provider} refused {method} {path} with {answer.status}: {text[:300]}",
                        hint="Compare the fault's `params` with what the provider's fault controls allow.",
                    )
                return await answer.json() if text else {}
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FaultControlFailed(
                f"{self.provider} does not answer its fault controls: {type(error).__name__}",
                hint="Check whether the stack is still running.",
            ) from error


def _body(fault: str, params: FaultParams, *, seed: int, lease_seconds: float) -> dict[str, object]:
    given = params.model_fields_set
    scope = {
        name: list(getattr(params, name))
        for name in ("card_ranges", "currencies", "operations")
        if name in given
    }
    return {
        "kind": fault.partition(".")[2],
        "rate": params.rate,
        "lease_seconds": lease_seconds,
        "seed": seed,
        "scope": scope,
        **({"latency_seconds": params.latency} if "latency" in given else {}),
        **{name: getattr(params, name) for name in ("what", "decline_code") if name in given},
    }


class Leases:
    """All faults of one drill: renewed while the block runs, ended however it is left."""

    def __init__(
        self,
        controls: Mapping[str, FaultControl],
        *,
        seed: int,
        lease_seconds: float,
        on_ended: Callable[[str, str], None],
    ) -> None:
        self._controls = controls
        self._seed, self._lease = seed, lease_seconds
        self._on_ended = on_ended
        self._active: dict[str, tuple[str, str]] = {}
        self._renewal: asyncio.Task[None] | None = None
        self.lost: FaultControlFailed | None = None

    async def __aenter__(self) -> Self:
        self._renewal = asyncio.create_task(self._renew_until_cancelled(), name="fault leases")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        await self.end(list(self._active))

    async def begin(self, step: TimelineEntry) -> None:
        """Begin the fault of a timeline entry under a lease."""
        if step.id is None or step.target is None:
            raise ValueError("a fault needs an id and a target")
        fault_id = await self._controls[step.target].begin(step, seed=self._seed, lease_seconds=self._lease)
        self._active[step.id] = (step.target, fault_id)

    async def end(self, names: list[str]) -> None:
        """End the faults called `names` in the scenario; all are tried before the first error is raised."""
        failures: list[FaultControlFailed] = []
        for name in names:
            if name not in self._active:
                continue
            target, fault_id = self._active.pop(name)
            try:
                await self._controls[target].end(fault_id)
                self._on_ended(name, target)
            except FaultControlFailed as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    async def hits(self) -> int:
        """Return how many requests the active faults of this drill have hit."""
        ours = {fault_id for _, fault_id in self._active.values()}
        targets = {target for target, _ in self._active.values()}
        listed = [fault for target in sorted(targets) for fault in await self._controls[target].active()]
        return sum(int(fault["hits"]) for fault in listed if fault["id"] in ours)

    async def _renew_until_cancelled(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            for name, (target, fault_id) in list(self._active.items()):
                try:
                    await self._controls[target].renew(fault_id, self._lease)
                except FaultControlFailed as failure:
                    # A fault that was ended meanwhile has no lease to lose. Otherwise the lease runs out by
                    # itself; a guardrail of the runner reads this and ends the drill.
                    if name in self._active:
                        self.lost = failure
