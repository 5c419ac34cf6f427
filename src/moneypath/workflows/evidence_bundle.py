"""Write the evidence bundle of a drill: scorecard, copies of what it ran on, manifest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from moneypath.drills.scoring import RULES, Scorecard
from moneypath.incidents.events import Event
from moneypath.incidents.evidence_files import MANIFEST, SCORECARD, SOURCES, hash_files
from moneypath.incidents.manifest import FORMAT, RUN_KEY, Manifest, ManifestHead
from moneypath.path.loader import FILE_NAME
from moneypath.workflows.software import describe_software, list_packages

PACKAGES: Final = "packages.txt"
# Copied into every bundle, if the project has them: what was declared, what alerts by it, what releases.
_PROJECT_FILES: Final[Mapping[str, str]] = {
    "declaration": FILE_NAME,
    "rules": "alerts/**/*",
    "gate": "loadtests/gate.yaml",
}


def write_bundle(
    folder: Path, project: Path, sources: Mapping[str, Path], events: Sequence[Event], card: Scorecard
) -> None:
    """Complete the bundle in `folder`; `sources` are the drill's own files, by what they are."""
    (folder / SCORECARD).write_text(json.dumps(asdict(card), indent=2), encoding="utf-8")
    copies = _copy_sources(folder, project, sources)
    head = events[-1]
    manifest = Manifest(
        format=FORMAT,
        run=str(events[0].payload[RUN_KEY]),
        drill=sources["scenario"].stem,
        rules=RULES,
        head=ManifestHead(seq=head.seq, hash=head.hash),
        files=hash_files(folder),
        sources=copies,
        software=describe_software(project),
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())


def _copy_sources(folder: Path, project: Path, sources: Mapping[str, Path]) -> Mapping[str, tuple[str, ...]]:
    """Copy what the drill ran on into the bundle; return the copies' paths by what they are."""
    found: dict[str, tuple[Path, ...]] = {what: (file,) for what, file in sources.items()}
    for what, pattern in _PROJECT_FILES.items():
        found[what] = tuple(file for file in sorted(project.glob(pattern)) if file.is_file())
    copies: dict[str, tuple[str, ...]] = {}
    for what, files in found.items():
        names = []
        for file in files:
            inside = file.relative_to(project) if file.is_relative_to(project) else Path(file.name)
            copy = folder / SOURCES / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
            names.append(copy.relative_to(folder).as_posix())
        if names:
            copies[what] = tuple(names)
    (folder / SOURCES / PACKAGES).write_text(list_packages(), encoding="utf-8")
    return {**copies, "packages": (f"{SOURCES}/{PACKAGES}",)}
