"""Faults as leases in the target: each ends by itself when nobody renews it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from moneypath.drills.steps import FaultParams, Step
from moneypath.errors import MoneypathError

REQUEST_SECONDS: Final = 5.0


class FaultControlFailed(MoneypathError):
    """A target did not do what its fault controls were told."""

    code = "fault_control_failed"


class FaultControl:
    """The fault controls of one acquirer, behind their token."""

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

    async def begin(self, step: Step, *, seed: int, lease_seconds: float) -> str:
        """Begin the fault of `step` and return its id in the target."""
        if step.fault is None or step.params is None:
            raise ValueError(f"timeline entry begins no fault: {step.id}")
        body = _body(step.fault, step.params, seed=seed, lease_seconds=lease_seconds)
        answer = await self._call("POST", "/control/faults", body)
        fault_id: str = answer["id"]
        return fault_id

    async def renew(self, fault_id: str, lease_seconds: float) -> None:
        """Give a fault that is still there another `lease_seconds`."""
        await self._call("PUT", f"/control/faults/{fault_id}/lease", {"lease_seconds": lease_seconds})

    async def end(self, fault_id: str) -> None:
        """End one fault; one that has ended already is fine."""
        await self._call("DELETE", f"/control/faults/{fault_id}", None, gone_is_fine=True)

    async def end_all(self) -> None:
        """End every fault of this target, whoever began it."""
        await self._call("DELETE", "/control/faults", None)

    async def active(self) -> list[Mapping[str, Any]]:
        """Return the faults that are in force now."""
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
                        hint="compare the fault's `params` with what the provider's fault controls allow",
                    )
                return await answer.json() if text else {}
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FaultControlFailed(
                f"{self.provider} does not answer its fault controls: {type(error).__name__}",
                hint="is the stack still running?",
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
    """All faults of one drill, kept alive while the block runs, ended on every way out of it."""

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
        self._keeper: asyncio.Task[None] | None = None
        self.lost: FaultControlFailed | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name="fault leases")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self.end(list(self._active))

    async def begin(self, step: Step) -> None:
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
        """Return how often the faults of this drill have hit somebody."""
        ours = {fault_id for _, fault_id in self._active.values()}
        targets = {target for target, _ in self._active.values()}
        listed = [fault for target in sorted(targets) for fault in await self._controls[target].active()]
        return sum(int(fault["hits"]) for fault in listed if fault["id"] in ours)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            for target, fault_id in list(self._active.values()):
                try:
                    await self._controls[target].renew(fault_id, self._lease)
                except FaultControlFailed as failure:
                    # The lease runs out by itself; a guardrail of the runner reads this and ends the drill.
                    self.lost = failure
