"""A real Prometheus: its configuration, its flags, and history that is written before its first start."""

import asyncio
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from moneypath.stack.binaries import Binary
from moneypath.stack.errors import FolderUnwritable, HistoryRefused
from moneypath.stack.server import ServerSpec, http_ready

_BACKFILL_WITHIN_SECONDS = 120.0


def spec(
    binary: Binary,
    folder: Path,
    port: int,
    *,
    rule_files: Sequence[Path],
    scrape_targets: Mapping[str, str],
    alertmanager_url: str | None = None,
    scrape_interval_seconds: float = 1.0,
    evaluation_interval_seconds: float = 1.0,
    scrape_timeout_seconds: float | None = None,
    lookback_seconds: float = 300.0,
    resend_delay_seconds: float = 60.0,
    for_grace_period_seconds: float = 600.0,
    for_outage_tolerance_seconds: float = 3600.0,
    retention_days: int = 40,
    external_labels: Mapping[str, str] | None = None,
) -> ServerSpec:
    """Write the configuration into `folder` and describe the server.

    `scrape_targets` maps a job to host:port. The name of the job is the instance label too, so that a restart
    on another port continues the same series. All flags exist in 2.42 and in 3.x. The rule files are copied,
    so that an edit cannot reach a running server half-way.
    """
    host_url = f"http://127.0.0.1:{port}"
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        copied = _copy_rules(folder / "rules", rule_files)
        config_file = folder / "prometheus.yml"
        configuration = {
            "global": {
                "scrape_interval": duration(scrape_interval_seconds),
                "scrape_timeout": duration(scrape_timeout_seconds or scrape_interval_seconds),
                "evaluation_interval": duration(evaluation_interval_seconds),
                "external_labels": dict(external_labels or {}),
            },
            "rule_files": [_escape_glob(str(each)) for each in copied],
            "alerting": {"alertmanagers": _alertmanagers(alertmanager_url)},
            "scrape_configs": [_scrape(job, address) for job, address in scrape_targets.items()],
        }
        config_file.write_text(yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True), "utf-8")
    except OSError as error:
        raise FolderUnwritable(
            f"folder not writable: {folder} ({error.strerror})", hint="Choose a run folder that you own."
        ) from error
    return ServerSpec(
        name="prometheus",
        command=(
            str(binary.path),
            f"--config.file={config_file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={retention_days}d",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={host_url}/",
            f"--web.console.templates={folder / 'consoles'}",
            f"--web.console.libraries={folder / 'consoles'}",
            f"--query.lookback-delta={duration(lookback_seconds)}",
            f"--rules.alert.resend-delay={duration(resend_delay_seconds)}",
            f"--rules.alert.for-grace-period={duration(for_grace_period_seconds)}",
            f"--rules.alert.for-outage-tolerance={duration(for_outage_tolerance_seconds)}",
            "--enable-feature=exemplar-storage",
            *_web_pages(binary),
        ),
        ready=http_ready(f"{host_url}/-/ready"),
        cwd=folder,
        port=port,
        ready_within_seconds=60.0,
        hint=f"Check its configuration: promtool check config '{config_file}'.",
    )


async def backfill(promtool: Binary, data_folder: Path, openmetrics: str) -> int:
    """Write samples as blocks into a data folder whose server does not run; return the number of blocks.

    The text must end in `# EOF`. Raises HistoryRefused with promtool's output, and also if there are no
    samples: promtool accepts none, and the missing history would go unnoticed.
    """
    if not openmetrics.rstrip().endswith("# EOF"):
        raise HistoryRefused("history refused: the text does not end in `# EOF`, so it may be torn")
    data_folder.mkdir(parents=True, exist_ok=True)
    before = _blocks(data_folder)
    with tempfile.NamedTemporaryFile("w", dir=data_folder.parent, suffix=".om", encoding="utf-8") as text:
        text.write(openmetrics)
        text.flush()
        process = await asyncio.create_subprocess_exec(
            str(promtool.path),
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--quiet",
            text.name,
            str(data_folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"TZ": "UTC"},
        )
        try:
            async with asyncio.timeout(_BACKFILL_WITHIN_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            raise HistoryRefused(f"history refused: no end within {_BACKFILL_WITHIN_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    words = output.decode(errors="replace").strip()
    if process.returncode != 0:
        raise HistoryRefused(f"history refused: promtool said: {words[-600:]}")
    written = len(_blocks(data_folder) - before)
    if not written:
        raise HistoryRefused("history refused: it holds no sample")
    return written


def _web_pages(binary: Binary) -> tuple[str, ...]:
    """Return the flag for the web pages, which only Debian's build reads from a folder."""
    pages = binary.path.resolve().parent.parent / "share" / "prometheus" / "web"
    return (f"--web.local-assets={pages}/",) if pages.is_dir() else ()


def duration(seconds: float) -> str:
    """Return a duration in Prometheus' notation, exact to the millisecond; raises ValueError below 1 ms."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1:
        raise ValueError(f"duration: {seconds} s; allowed: at least 0.001")
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _blocks(data_folder: Path) -> set[str]:
    return {file.parent.name for file in data_folder.glob("*/meta.json")}


def _scrape(job: str, address: str) -> dict[str, object]:
    target = {"targets": [address], "labels": {"instance": job}}
    return {"job_name": job, "static_configs": [target]}


def _alertmanagers(url: str | None) -> list[dict[str, object]]:
    if url is None:
        return []
    parts = urlsplit(url)
    target: dict[str, object] = {"scheme": parts.scheme, "static_configs": [{"targets": [parts.netloc]}]}
    return [target | ({"path_prefix": parts.path} if parts.path.strip("/") else {})]


def _copy_rules(folder: Path, rule_files: Sequence[Path]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    copies = []
    for number, file in enumerate(rule_files):
        copy = folder / f"{number:02d}-{file.name}"
        copy.write_bytes(file.read_bytes())
        copies.append(copy)
    return copies


def _escape_glob(path: str) -> str:
    # The key takes patterns; a folder's name may hold their characters. A pattern that matches nothing is
    # no error to Prometheus: it would run without rules.
    return re.sub(r"([*?\[\\])", r"\\\1", path)
