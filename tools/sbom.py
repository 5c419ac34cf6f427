"""Write the software bill of materials: `make sbom`, CycloneDX 1.6 as JSON, in sbom.cdx.json.

cyclonedx-bom lists the packages of .venv with licences and dependencies. What it cannot know is added: the
hashes that requirements/development.txt holds pip to, and the servers that a stack starts, each with the hash
of the program as it runs here. There is no time in it and no serial number: the same environment gives the
same bytes.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from moneypath.errors import MoneypathError
from moneypath.stack import binaries
from moneypath.stack.binaries import Binary

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "sbom.cdx.json"
PINS = ROOT / "requirements" / "development.txt"
# The project's other distribution: installed from this folder, it has no file to be held to.
OWN = "moneypath-reference"
# A package of the distribution is unpacked into a folder of this name, as in prometheus_2.42.0+ds-5_amd64.
_PACKAGE = re.compile(r"(?P<name>[a-z0-9.+-]+)_(?P<version>[^_/]+)_[a-z0-9]+")
_PIN = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;]+).*(?P<hashes>(?:\n    --hash=\S+.*)+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a stack starts: its program, its project's name and its licence (SPDX)."""

    program: str
    name: str
    license_id: str


SERVERS = (
    Server("postgres", "postgresql", "PostgreSQL"),
    Server("nats-server", "nats-server", "Apache-2.0"),
    Server("prometheus", "prometheus", "Apache-2.0"),
    Server("alertmanager", "alertmanager", "Apache-2.0"),
)


def pinned_hashes(text: str) -> dict[tuple[str, str], list[str]]:
    """Return the SHA-256 of each file of a package's version, by canonical name and version."""
    return {
        (canonicalize_name(found["name"]), found["version"]): re.findall(
            r"sha256:([0-9a-f]{64})", found["hashes"]
        )
        for found in _PIN.finditer(text)
    }


def list_environment() -> Bom:
    """Return what cyclonedx-bom says of this environment."""
    options = (
        "--pyproject",
        "pyproject.toml",
        "--output-reproducible",
        "--no-validate",
        "--spec-version",
        "1.6",
    )
    command = [sys.executable, "-m", "cyclonedx_py", "environment", *options, sys.executable]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    bom: Bom = Bom.from_json(json.loads(answer.stdout))  # type: ignore[attr-defined]
    return bom


def add_hashes(bom: Bom, pins: dict[tuple[str, str], list[str]]) -> list[str]:
    """Add to each package the hashes of its files, of which one is installed; return those without any."""
    loose = []
    for component in bom.components:
        # Links to pages and sponsors tell nothing of what is installed, and checking each takes a second.
        component.external_references.clear()
        hashes = pins.get((canonicalize_name(component.name), str(component.version)))
        if component.name == OWN:
            continue
        if not hashes:
            loose.append(f"{component.name} {component.version}")
            continue
        component.external_references.add(
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(component.purl)),
                comment="Files of this version; the one that is installed has one of these hashes.",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
            )
        )
    return loose


def servers() -> Iterator[Component]:
    """Describe each server that is at hand, and say which is not."""
    for server in SERVERS:
        try:
            yield describe(server, binaries.find(server.program, progress=say))
        except MoneypathError as error:
            say(f"{server.name} is not at hand and not listed: {error.what}")


def describe(server: Server, binary: Binary) -> Component:
    """Describe one server as it is installed here."""
    digest = hashlib.sha256(binary.path.read_bytes()).hexdigest()
    package = next((found for part in binary.path.parts if (found := _PACKAGE.fullmatch(part))), None)
    purl = (
        PackageURL("deb", "debian", package["name"], package["version"])
        if package
        else PackageURL("generic", None, server.name, binary.version)
    )
    return Component(
        type=ComponentType.APPLICATION,
        name=server.name,
        version=binary.version,
        bom_ref=f"server:{server.name}",
        purl=purl,
        licenses=[DisjunctiveLicense(id=server.license_id)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        properties=[Property(name="moneypath:origin", value=binary.origin.value)],
    )


def add_servers(bom: Bom, found: list[Component]) -> None:
    """List the servers, and the project as what depends on them."""
    if bom.metadata.component is None:
        raise ValueError("the bill names no project")
    for component in found:
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, found)
    for component in found:
        bom.register_dependency(component)


def render(bom: Bom) -> str:
    """Return the bill as JSON without what differs each time; raises ValueError if the schema refuses it."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    refused = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if refused is not None:
        raise ValueError(f"the bill is not CycloneDX 1.6: {refused}")
    return text


def main() -> int:
    """Write the bill and say what is in it."""
    parser = argparse.ArgumentParser(
        description="Write the software bill of materials (CycloneDX 1.6, JSON)."
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file to write (default: sbom.cdx.json)")
    output = parser.parse_args().output
    bom = list_environment()
    packages = len(bom.components)
    loose = add_hashes(bom, pinned_hashes(PINS.read_text(encoding="utf-8")))
    found = list(servers())
    add_servers(bom, found)
    output.write_text(render(bom), encoding="utf-8")
    names = ", ".join(f"{each.name} {each.version}" for each in found)
    say(f"wrote {output}: {packages} packages and {len(found)} servers ({names})")
    if loose:
        say(f"no pinned hash: {', '.join(loose)}")
    return 0


def say(text: str) -> None:
    """Print progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
