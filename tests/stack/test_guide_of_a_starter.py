"""The guide's starter, as it is printed, brings up a service that the platform has never heard of."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from moneypath.path.loader import FILE_NAME, load
from moneypath.polling import poll_until
from moneypath.prometheus import Prometheus
from moneypath.stack.endpoints import Endpoints
from moneypath.stack.starters import Build, LiveStackSettings, Starter

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "guides" / "start-your-own-stack.md"
SERVICE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/readyz", "/metrics") else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"shop_orders_total 1\\n")

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    """Return the module that the guide's listing makes."""
    (listing,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    file = tmp_path / "shop_stack.py"
    file.write_text(listing, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shop_stack", file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


async def test_the_listing_of_the_guide_starts_a_stack(module: ModuleType, tmp_path: Path) -> None:
    """Its service is scraped, its endpoints are found by others, and nothing secret is left afterwards."""
    starter = module.STARTER
    assert isinstance(starter, Starter)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(SERVICE, encoding="utf-8")
    path, folder = load(PROJECT / FILE_NAME), tmp_path / "run"
    build = Build(starter.build.api, starter.build.worker, tmp_path)
    settings = LiveStackSettings(path, folder, 60, events_per_second=1, build=build)
    said: list[str] = []
    async with starter.running(settings, said.append) as live:
        assert set(live.build_servers) <= set(live.supervisor.pids())
        assert Endpoints.load(folder) == live.endpoints
        prometheus = Prometheus(live.endpoints.prometheus)

        async def scraped() -> float:
            return sum(sample.value for sample in await prometheus.query("max(shop_orders_total)"))

        assert await poll_until(scraped, bool, every_seconds=0.2, within_seconds=60) == 1
        assert "the shop is up" in said
    assert not (folder / "secrets").exists()
    assert not (folder / "endpoints.json").exists()
    assert sys.modules.get("shop_stack") is None


def test_the_guide_names_what_there_is() -> None:
    """Groups, option and variable are those of the code, and its links lead somewhere."""
    text = GUIDE.read_text(encoding="utf-8")
    for name in ("moneypath.stacks", "moneypath.commands", "--starter", "MONEYPATH_STARTER", "build_servers"):
        assert name in text
    assert (PROJECT / "tests/target/test_no_service_is_named.py").is_file()
