"""compose.yaml without a container engine: its syntax, what it mounts, what it tells, what it opens.

It is not started here. What can be known without starting it is.
"""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from loadtests.settings import read_settings as read_load_settings
from loadtests.settings import require_loopback

from moneypath.dashboards.provisioning import BOARDS_FOLDER
from moneypath.path.loader import load
from moneypath.stack.binaries import find
from moneypath.telemetry.catalogue.vocabulary import Disk
from refpay.settings import read_database, read_settings
from refstack.container_secrets import ENVIRONMENT_FILE, mint_for_containers

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).with_name("compose-spec.json")
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+(\.\d+){1,2}(-alpine)?")
OWN_IMAGE = "moneypath:local"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return compose.yaml with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return its services by name."""
    found: dict[str, dict[str, Any]] = document["services"]
    return found


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mint the secrets for a copy of the declaration and return their folder."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "moneypath.yaml", project)
    shutil.copytree(ROOT / "runbooks", project / "runbooks")
    return mint_for_containers(project)


def binds(services: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return service, source and target of every mounted path of ours."""
    found = []
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert mode == ["ro"], f"{name}: {volume}: a file of ours is mounted read-only"
                found.append((name, source, target))
    return found


def validator() -> Draft202012Validator:
    """Return the validator of the Compose Specification."""
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_it_is_what_the_specification_allows(document: dict[str, Any]) -> None:
    """The published schema accepts it; a misspelt key, or a port that is no port, is refused."""
    assert [error.message for error in validator().iter_errors(document)] == []
    for wrong in ({"imag": "postgres:18.1"}, {"image": "postgres:18.1", "ports": {"8080": 1}}):
        assert list(validator().iter_errors({"services": {"postgres": wrong}}))


def test_its_header_says_that_it_needs_an_engine() -> None:
    """Nobody starts it by mistake, and nobody thinks that the proof needs it."""
    header = (ROOT / "compose.yaml").read_text(encoding="utf-8").split("name:")[0]
    assert "needs a container engine" in header
    assert "run without one" in header
    assert "they do not\n# start it" in header


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    """A tag with at least two numbers, never `latest` and never a bare major; ours is built from our file."""
    for name, service in services.items():
        if service["image"] == OWN_IMAGE:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
        else:
            assert PINNED.fullmatch(service["image"]), name
            assert "build" not in service
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert len(set(bases)) == 1, bases
    assert PINNED.match(bases[0])
    assert not PINNED.fullmatch("grafana/grafana:latest")
    assert not PINNED.fullmatch("postgres")


def test_everything_that_is_mounted_is_there(services: dict[str, dict[str, Any]], minted: Path) -> None:
    """Files of the repository exist and are committed; secrets are those that the command mints."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/.secrets/" in ignored
    mounted = binds(services)
    assert len(mounted) > 15
    for name, source, _ in mounted:
        path = source.removeprefix("./")
        place = minted / path.removeprefix(".secrets/") if path.startswith(".secrets/") else ROOT / path
        assert place.exists(), f"{name}: {source}"
    volumes = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["volumes"]
    named = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if not volume.startswith(".")
    }
    assert named == set(volumes)


def test_only_loopback_is_opened(services: dict[str, dict[str, Any]]) -> None:
    """Each published port is bound to 127.0.0.1, and no two are the same."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) >= 5
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_no_secret_stands_in_it(services: dict[str, dict[str, Any]]) -> None:
    """Passwords and tokens come from files; no variable holds one, and the URLs name users alone."""
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"
            assert not re.search(r"://[^/@]+:[^/@]+@", str(value)), f"{name}: {variable}"


def read_by_refpay() -> set[str]:
    """Return every variable that the payment service reads, from its own source."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src/refpay").rglob("*.py"))
    names = set(re.findall(r'"(REFPAY_[A-Z_]+)"', source))
    return names | {"REFPAY_NORTH_URL", "REFPAY_SOUTH_URL"}


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_service_is_told_all_that_it_needs_and_nothing_else(
    service: str, services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """Its own settings read this environment; a name that it does not read would be a misspelt one."""
    environment = {**services[service]["environment"]}
    assert set(environment) <= read_by_refpay()
    environment["REFPAY_SECRETS_FOLDER"] = str(minted / "refpay")
    kept = environment["REFPAY_ACKNOWLEDGEMENTS_FOLDER"]
    assert f"acknowledgements:{kept}" in services[service]["volumes"]
    environment["REFPAY_ACKNOWLEDGEMENTS_FOLDER"] = str(minted)
    for variable in ("REFPAY_DATABASE_FOLDER", "REFPAY_MESSAGES_FOLDER"):
        if mounted := environment.get(variable):
            assert any(volume.endswith(f":{mounted}:ro") for volume in services[service]["volumes"])
            environment[variable] = str(minted)
    settings = read_settings(environment)
    assert set(settings.written_folders) == (set(Disk) if service == "worker" else {Disk.RECEIPTS})
    assert settings.listen_host == "0.0.0.0"
    assert (settings.messaging is not None) == (service == "worker")


def test_the_migration_is_told_how_to_connect_as_the_owner(
    services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """Its environment is complete, and has nothing that the service does not read."""
    environment = {**services["schema"]["environment"]}
    assert set(environment) <= read_by_refpay()
    (mounted,) = (target for name, _, target in binds(services) if name == "schema")
    assert environment["REFPAY_SECRETS_FOLDER"] == mounted
    environment["REFPAY_SECRETS_FOLDER"] = str(minted / "schema")
    assert read_database(environment, user="refpay_owner", secret="refpay_owner_password").password


def test_the_owner_of_the_database_is_known_to_the_migration_alone(
    services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """Of all that is mounted, under whatever name: the server and its roles' script have to know it too."""
    password = (minted / "database" / "refpay_owner").read_text(encoding="utf-8").strip()
    known = {
        name
        for name, source, _ in binds(services)
        if source.startswith("./.secrets")
        and any(password in text for text in contents(minted / source.removeprefix("./.secrets").lstrip("/")))
    }
    assert known == {"schema", "roles", "postgres"}


def contents(place: Path) -> list[str]:
    """Return the text of a file, or of every file below a folder."""
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return [file.read_text(encoding="utf-8") for file in files]


def test_the_acquirers_take_the_declared_fees(services: dict[str, dict[str, Any]]) -> None:
    """Other fees than the declared ones would be a reconciliation break in every settlement report."""
    costs = load(ROOT / "moneypath.yaml").costs
    assert costs is not None
    for fee in costs.provider_fees:
        fixed = ",".join(f"{currency}={minor}" for currency, minor in fee.fixed.items())
        command = services[fee.provider]["command"]
        assert {f"--fee-basis-points={fee.basis_points}", f"--fee-fixed={fixed}"} <= set(command)


def test_checkouts_go_on_while_nobody_pays(services: dict[str, dict[str, Any]], minted: Path) -> None:
    """Without any payment MoneyPathTrafficMissing pages within seconds, and half of the board is empty."""
    service = services["checkout-traffic"]
    command = service["command"]
    assert (ROOT / command[command.index("--locustfile") + 1]).is_file()
    # In the API's network: the load test refuses every address that is not this machine's own.
    assert require_loopback(command[command.index("--host") + 1]) == "http://127.0.0.1:8080"
    assert service["network_mode"] == "service:api"
    # The load test ends by itself within the hour; then it is started again.
    assert service["restart"] == "unless-stopped"
    environment = {**service["environment"]}
    assert environment["MONEYPATH_CHECKOUT_CLIENT_FILE"] == "/run/secrets/checkout_client"
    environment["MONEYPATH_CHECKOUT_CLIENT_FILE"] = str(minted / "clients" / "checkout_client")
    settings = read_load_settings(environment)
    slos = load(ROOT / "moneypath.yaml").availability_slos()
    needed = max(slo.traffic.min_events for slo in slos if slo.traffic)
    assert settings.checkouts_per_second * 300 >= 10 * needed
    assert settings.checkouts_per_second <= 5


def test_processes_find_each_other(services: dict[str, dict[str, Any]]) -> None:
    """Each address names a service, and the port is the one that it listens on."""
    told = {**services["worker"]["environment"], **services["grafana"]["environment"]}
    addresses = [str(value) for value in told.values() if "://" in str(value)]
    listens = {
        "postgres": {5432}, "nats": {4222, 8222}, "prometheus": {9090}, "alertmanager": {9093},
        "collector": {8889},
        "api": {8080}, "worker": {8081}, "north": {8082}, "south": {8083}, "pager": {8084},
        "alert-silences": {9095},
    }  # fmt: skip
    for name in ("north", "south"):
        assert f"--webhook-url=http://api:8080/v1/webhooks/{name}" in services[name]["command"]
    for name in ("north", "south", "pager", "alert-silences"):
        assert f"--port={next(iter(listens[name]))}" in services[name]["command"]
    assert "--alertmanager=http://alertmanager:9093" in services["alert-silences"]["command"]
    prometheus = yaml.safe_load((ROOT / "compose/prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        target
        for scrape in (*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"])
        for config in scrape["static_configs"]
        for target in config["targets"]
    ]
    for address in (*addresses, *targets):
        host, port = re.search(r"(?:^|//|@)([a-z-]+):(\d+)", address).groups()  # type: ignore[union-attr]
        assert int(port) in listens[host], address
        assert host in services


def test_prometheus_scrapes_every_declared_target() -> None:
    """The jobs are those that the alerts expect; a job under another name would page for ever."""
    scraped = yaml.safe_load((ROOT / "compose/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    jobs = {scrape["job_name"]: scrape["static_configs"][0]["labels"]["instance"] for scrape in scraped}
    for target in load(ROOT / "moneypath.yaml").targets:
        assert jobs[target.job] == target.job


def run(program: Path | str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a checking program."""
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def laid_out(folder: Path, service: str, services: dict[str, dict[str, Any]], minted: Path) -> Path:
    """Copy what a service has mounted to where it would find it, below `folder`."""
    for name, source, target in binds(services):
        if name == service:
            path = source.removeprefix("./")
            place = minted / path.removeprefix(".secrets/") if path.startswith(".secrets/") else ROOT / path
            copy = shutil.copytree if place.is_dir() else shutil.copyfile
            (folder / target.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            copy(place, folder / target.lstrip("/"))
    return folder


def test_prometheus_takes_its_configuration(
    tmp_path: Path, services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """promtool checks the mounted files where they are mounted, rules included."""
    etc = laid_out(tmp_path, "prometheus", services, minted) / "etc/prometheus"
    result = run(find("promtool").path, "check", "config", etc / "prometheus.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "rules found" in result.stdout
    (etc / "rules/moneypath.rules.yml").unlink()
    assert run(find("promtool").path, "check", "config", etc / "prometheus.yml", cwd=tmp_path).returncode != 0


def test_alertmanager_takes_its_configuration(
    tmp_path: Path, services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """amtool checks it, its token is where it says, and it pages the pager that runs beside it."""
    etc = laid_out(tmp_path, "alertmanager", services, minted) / "etc/alertmanager"
    result = run(find("amtool").path, "check-config", etc / "alertmanager.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    receivers = yaml.safe_load((etc / "alertmanager.yml").read_text(encoding="utf-8"))["receivers"]
    assert receivers[0] == {"name": "another-environment"}
    for receiver in receivers[1:]:
        (webhook,) = receiver["webhook_configs"]
        assert webhook["url"].startswith("http://pager:8084/")
        assert (etc / webhook["http_config"]["authorization"]["credentials_file"]).is_file()


def test_nats_takes_its_configuration(
    tmp_path: Path, services: dict[str, dict[str, Any]], minted: Path
) -> None:
    """The broker itself checks it with the minted user; without the user it refuses to start."""
    etc = laid_out(tmp_path, "nats", services, minted) / "etc/nats"
    server = find("nats-server").path
    result = run(server, "-t", "-c", etc / "nats.conf", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^\s+sync_interval: always$", (etc / "nats.conf").read_text(encoding="utf-8"), re.M)
    (etc / "authorization.conf").unlink()
    assert run(server, "-t", "-c", etc / "nats.conf", cwd=tmp_path).returncode != 0


def test_grafana_finds_board_and_data_source(services: dict[str, dict[str, Any]]) -> None:
    """The board lies where the provider looks, and the variable of the data source is set."""
    targets = {target for name, _, target in binds(services) if name == "grafana"}
    assert f"{BOARDS_FOLDER}/money-path.json" in targets
    assert "/etc/grafana/provisioning" in targets
    assert "MONEYPATH_PROMETHEUS_URL" in services["grafana"]["environment"]


def test_the_collector_is_the_one_that_is_tested(services: dict[str, dict[str, Any]]) -> None:
    """The same release as the manifest's, our configuration, and every variable that this one names."""
    manifest = yaml.safe_load((ROOT / "collector/builder.yaml").read_text(encoding="utf-8"))
    collector = services["collector"]
    assert collector["image"] == f"otel/opentelemetry-collector-contrib:{manifest['dist']['version']}"
    assert "./collector/config.yaml:/etc/otelcol/config.yaml:ro" in collector["volumes"]
    config = (ROOT / "collector/config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{env:([A-Z_]+)\}", config)) == set(collector["environment"])


def test_the_secrets_are_private_and_kept(minted: Path) -> None:
    """Files are 0600, the environment file names their owner, and minting again changes nothing."""
    files = {file: file.read_bytes() for file in minted.rglob("*") if file.is_file()}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert re.fullmatch(rb"MONEYPATH_USER=\d+:\d+\n", files[minted / ENVIRONMENT_FILE])
    assert (minted / "refpay/nats_password").read_text() in (minted / "nats/authorization.conf").read_text()
    mint_for_containers(minted.parent)
    assert {file: file.read_bytes() for file in files} == files
