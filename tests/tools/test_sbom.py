"""The software bill of materials: valid CycloneDX, the same each time, with hashes, licences and servers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import sbom
from moneypath.stack.binaries import Binary, Origin

PINS = sbom.pinned_hashes(sbom.PINS.read_text(encoding="utf-8"))
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program in the folder of an unpacked package."""
    folder = tmp_path_factory.mktemp("cache") / "prometheus_2.42.0+ds-5_amd64" / "usr" / "bin"
    folder.mkdir(parents=True)
    (folder / "prometheus").write_text("program")
    return folder / "prometheus"


def components(program: Path) -> list[Component]:
    """Describe two servers: one of a package and one of another origin."""
    other = program.parents[3] / "postgres"
    other.write_text("other")
    return [
        sbom.describe(sbom.SERVERS[2], Binary("prometheus", program, "2.42.0", Origin.CACHE)),
        sbom.describe(sbom.SERVERS[0], Binary("postgres", other, "18.4", Origin.WHEEL)),
    ]


def make(program: Path) -> tuple[str, list[str]]:
    """Make the bill of this environment with two servers; return it and the packages without a hash."""
    bom = sbom.list_environment()
    loose = sbom.add_hashes(bom, PINS)
    sbom.add_servers(bom, components(program))
    return sbom.render(bom), loose


@pytest.fixture(scope="module")
def made(program: Path) -> tuple[str, list[str]]:
    """The bill, made once."""
    return make(program)


@pytest.fixture(scope="module")
def document(made: tuple[str, list[str]]) -> dict[str, Any]:
    """The bill, read."""
    read: dict[str, Any] = json.loads(made[0])
    return read


def test_it_is_valid_and_the_same_each_time(made: tuple[str, list[str]], program: Path) -> None:
    """CycloneDX's own schema, strictly; byte for byte, with neither a time nor a serial number."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made[0]) is None
    assert make(program)[0] == made[0]


def test_every_pinned_package_has_its_hashes(made: tuple[str, list[str]], document: dict[str, Any]) -> None:
    """All but what came with Python; structlog's are those of its line."""
    assert {name.split()[0] for name in made[1]} <= {"pip", "setuptools"}
    (found,) = [each for each in document["components"] if each["name"] == "structlog"]
    (files,) = [each for each in found["externalReferences"] if each["type"] == "distribution"]
    assert {each["content"] for each in files["hashes"]} == set(PINS["structlog", found["version"]])
    assert found["licenses"][0]["expression"] == "MIT OR Apache-2.0"


def test_the_reference_is_listed_with_what_it_needs(document: dict[str, Any]) -> None:
    """What the platform alone does without depends on it; nothing says where it lies on this machine."""
    (found,) = [each for each in document["components"] if each["name"] == sbom.OWN]
    assert str(sbom.ROOT) not in json.dumps(found)
    (needs,) = [each for each in document["dependencies"] if each["ref"] == found["bom-ref"]]
    assert any(ref.startswith("nats-py==") for ref in needs["dependsOn"])


def test_packages_have_licences(document: dict[str, Any]) -> None:
    """Those without one declare none that can be read; a third one would be a new dependency to look at."""
    without = {each["name"] for each in document["components"] if not each.get("licenses")}
    assert without == {"promql-parser", "protobuf"}


def test_servers_are_listed_with_version_hash_and_licence(document: dict[str, Any]) -> None:
    """The project depends on them; one of a package is named by the package's version."""
    found = {each["name"]: each for each in document["components"] if each["bom-ref"].startswith("server:")}
    prometheus = found["prometheus"]
    assert prometheus["hashes"][0]["content"] == hashlib.sha256(b"program").hexdigest()
    assert prometheus["purl"] == "pkg:deb/debian/prometheus@2.42.0%2Bds-5"
    assert found["postgresql"]["purl"] == "pkg:generic/postgresql@18.4"
    assert found["postgresql"]["licenses"] == [{"license": {"id": "PostgreSQL"}}]
    (root,) = [each for each in document["dependencies"] if each["ref"] == "root-component"]
    assert {"server:prometheus", "server:postgresql"} < set(root["dependsOn"])
    assert any(ref.startswith("aiohttp==") for ref in root["dependsOn"])


def test_a_package_that_is_not_pinned_is_named(program: Path) -> None:
    """A hash is never made up."""
    bom = Bom(components=[Component(name="stranger", version="1")])
    assert sbom.add_hashes(bom, PINS) == ["stranger 1"]


def test_what_the_schema_refuses_is_not_written(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    """A version of the library that writes another form is noticed here, not by a reader."""
    text = json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {}, "strange": 1})
    monkeypatch.setattr(JsonV1Dot6, "output_as_string", lambda _: text)
    with pytest.raises(ValueError, match=r"not CycloneDX 1\.6"):
        sbom.render(Bom(components=components(program)))
