"""Images are pinned by digest: names, the registry's protocol against a strict stand-in, and the file's form.

No registry can be reached from where these tests were written. The stand-in refuses what the OCI distribution
specification does not allow; it is not one of the registries in use.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from moneypath.cli.compose_commands import compose
from moneypath.stack.errors import FolderUnwritable
from moneypath.workflows import image_pins
from moneypath.workflows.image_names import ImageName, ImageUnreadable
from moneypath.workflows.image_pins import ComposeUnreadable, ImagesUnpinned
from moneypath.workflows.image_registry import Registries, RegistryRefused, RegistryUnreachable

from .registry_stand_in import INDEX, StandIn, serve

PROJECT = Path(__file__).parents[2]
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
async def registry() -> AsyncIterator[StandIn]:
    """A registry with two images; every request must have been allowed."""
    held = {("prom/prometheus", "v3.5.0"): b'{"a": 1}', ("library/nats", "2.15.1"): b'{"b": 2}'}
    async with serve(StandIn(held)) as serving:
        yield serving
    assert serving.faults == []


def image(registry: StandIn, name: str = "prom/prometheus:v3.5.0") -> ImageName:
    """Return an image of the stand-in."""
    return ImageName.parse(f"{registry.address}/{name}")


async def ask(name: ImageName) -> str:
    """Ask with a connection of its own."""
    async with Registries(timeout_seconds=10) as registries:
        return await registries.digest(name)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres", "https://registry-1.docker.io/v2/library/postgres/manifests/latest"),
        ("postgres:18.1", "https://registry-1.docker.io/v2/library/postgres/manifests/18.1"),
        ("prom/prometheus:v3.5.0", "https://registry-1.docker.io/v2/prom/prometheus/manifests/v3.5.0"),
        ("docker.io/nats:2", "https://registry-1.docker.io/v2/library/nats/manifests/2"),
        ("ghcr.io/a/b/c:1", "https://ghcr.io/v2/a/b/c/manifests/1"),
        ("host.example:5000/a:1", "https://host.example:5000/v2/a/manifests/1"),
        ("localhost:5000/a:1", "http://localhost:5000/v2/a/manifests/1"),
        ("127.0.0.1:5000/a:1", "http://127.0.0.1:5000/v2/a/manifests/1"),
        (f"postgres:18.1@{DIGEST}", "https://registry-1.docker.io/v2/library/postgres/manifests/18.1"),
    ],
)
def test_a_name_is_asked_for_where_engines_would(text: str, url: str) -> None:
    """Docker Hub's registry and its `library/`, other hosts as they are, no TLS on loopback alone."""
    assert ImageName.parse(text).manifest_url == url


@pytest.mark.parametrize(
    "text",
    ["", "Postgres", "${REGISTRY}/a:1", "a:", "a@sha256:12", "a b", "a/../b:1", "-a", "a:1@md5:" + "0" * 32],
)
def test_what_no_registry_knows_is_refused(text: str) -> None:
    """Variables above all: a variable has no digest."""
    with pytest.raises(ImageUnreadable, match="no name that a registry knows"):
        ImageName.parse(text)


async def test_a_tag_is_answered_with_its_digest(registry: StandIn) -> None:
    """HEAD, the challenge, the token it leads to, HEAD again; the content is never fetched."""
    assert await ask(image(registry)) == registry.digest("prom/prometheus", "v3.5.0")
    expected = ["HEAD prom/prometheus:v3.5.0", "GET token", "HEAD prom/prometheus:v3.5.0"]
    assert registry.asked == expected


async def test_the_token_may_have_its_other_name(registry: StandIn) -> None:
    """OAuth 2 calls it access_token."""
    registry.token_name = "access_token"
    assert await ask(image(registry)) == registry.digest("prom/prometheus", "v3.5.0")


async def test_a_registry_without_tokens_is_asked_once(registry: StandIn) -> None:
    """A registry of one's own is often open."""
    registry.open_to_all = True
    assert await ask(image(registry)) == registry.digest("prom/prometheus", "v3.5.0")
    assert registry.asked == ["HEAD prom/prometheus:v3.5.0"]


async def test_a_digest_that_is_not_told_is_computed(registry: StandIn) -> None:
    """The header is no duty of a registry; the digest is the SHA-256 of the manifest's bytes."""
    registry.tells_digest = None
    assert await ask(image(registry)) == registry.digest("prom/prometheus", "v3.5.0")
    assert registry.asked[-1] == "GET prom/prometheus:v3.5.0"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"status": 429}, "asked too often"),
        ({"status": 403}, "refuses access"),
        ({"status": 401}, "refuses the token"),
        ({"status": 307}, "something else than a manifest"),
        ({"status": 500}, "something else than a manifest"),
        ({"tells_digest": "sha256:12"}, "no sha256 digest"),
        ({"tells_digest": "sha512:" + "0" * 128}, "no sha256 digest"),
        ({"token_status": 401}, "No token is given"),
        ({"challenge": 'Basic realm="x"'}, "wants a login"),
        ({"challenge": "Bearer"}, "wants a login"),
        ({"realm": "http://tokens.example/token"}, "without TLS"),
    ],
)
async def test_any_other_answer_is_refused(registry: StandIn, how: dict[str, object], words: str) -> None:
    """A redirect or a foreign realm would get the token; an answer without a digest would be written down."""
    for name, value in how.items():
        setattr(registry, name, value)
    with pytest.raises(RegistryRefused, match=words):
        await ask(image(registry))


async def test_a_tag_that_is_not_there_is_named(registry: StandIn) -> None:
    """With its registry."""
    with pytest.raises(RegistryRefused, match=r"no such tag \(404\): 127.+/prom/prometheus:v9"):
        await ask(image(registry, "prom/prometheus:v9"))


async def test_a_registry_that_is_away_is_named() -> None:
    """And the sentence says that nothing was written."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        name = ImageName.parse(f"127.0.0.1:{taken.getsockname()[1]}/a:1")
        with pytest.raises(RegistryUnreachable, match=r"does not answer: 127\.0\.0\.1:\d+") as refused:
            await ask(name)
    assert "nothing was written" in refused.value.hint


def written(registry: StandIn) -> str:
    """Return a Compose file with all that YAML allows round an image."""
    return f"""\
# Kept: a comment.
x-ours: &ours
  image: moneypath:local   # built here
  build: {{context: .}}
x-nats: &nats {{image: '{registry.address}/library/nats:2.15.1', init: true}}   # in a flow, in quotes

services:
  api: {{<<: *ours, command: [a, b]}}
  first: *nats
  second:
    <<: [*nats]
    restart: "no"
  prometheus:
    image:   "{registry.address}/prom/prometheus:v3.5.0"   # umlaut: ö
    labels: {{image: not-an-image}}
  again:
    image: {registry.address}/prom/prometheus:v3.5.0
"""


async def pin(file: Path, *arguments: str) -> tuple[int, str]:
    """Run the command beside the registry; its errors come back as text."""
    command = ["pin", "--file", str(file), "--project", str(PROJECT), *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, compose, command)
    return result.exit_code, result.output + str(result.exception or "")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_a_file_keeps_all_but_its_images(registry: StandIn, tmp_path: Path, line_end: str) -> None:
    """Comments, quotes, anchors, line ends and rights stay; each image is asked for once; twice is once."""
    file = tmp_path / "compose.yaml"
    before = written(registry).replace("\n", line_end)
    file.write_bytes(before.encode())
    file.chmod(0o640)
    code, said = await pin(file)
    assert code == 0, said
    after = file.read_bytes().decode()
    assert re.sub(r"@sha256:[0-9a-f]{64}", "", after) == before
    assert after.count(f"nats:2.15.1@{registry.digest('library/nats', '2.15.1')}'") == 1
    assert after.count(f"v3.5.0@{registry.digest('prom/prometheus', 'v3.5.0')}") == 2
    assert file.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["compose.yaml"]
    assert sum(each.startswith("HEAD") for each in registry.asked) == 4
    registry.asked.clear()
    code, said = await pin(file)
    assert (code, file.read_bytes().decode(), registry.asked) == (0, after, [])
    assert "nothing to write" in said
    assert (await pin(file, "--check"))[0] == 0


async def test_a_dry_run_writes_nothing(registry: StandIn, tmp_path: Path) -> None:
    """It asks, and says what it would write."""
    file = tmp_path / "compose.yaml"
    file.write_text(written(registry))
    code, said = await pin(file, "--dry-run")
    assert (code, file.read_text()) == (0, written(registry))
    assert registry.digest("prom/prometheus", "v3.5.0") in said
    assert "lines 14, 17" in said.replace("\n", " ")


async def test_a_tag_that_moved_is_taken_on_demand_only(registry: StandIn, tmp_path: Path) -> None:
    """A pin stays a pin; --update says what it was."""
    file = tmp_path / "compose.yaml"
    file.write_text(written(registry))
    await pin(file)
    old = registry.digest("prom/prometheus", "v3.5.0")
    registry.manifests["prom/prometheus", "v3.5.0"] = b'{"a": "moved"}'
    await pin(file)
    assert old in file.read_text()
    code, said = await pin(file, "--update")
    assert code == 0
    assert f"was {old}" in said.replace("\n", " ")
    assert old not in file.read_text()
    assert registry.digest("prom/prometheus", "v3.5.0") in file.read_text()


async def test_one_refusal_writes_nothing(registry: StandIn, tmp_path: Path) -> None:
    """A file is pinned as a whole or left."""
    del registry.manifests["prom/prometheus", "v3.5.0"]
    file = tmp_path / "compose.yaml"
    file.write_text(written(registry))
    code, said = await pin(file)
    assert (code, file.read_text()) == (1, written(registry))
    assert "no such tag" in said


def test_the_projects_own_file_is_read_whole() -> None:
    """Every image that its services pull is found; ours is built and left out."""
    text = (PROJECT / "compose.yaml").read_text(encoding="utf-8")
    places = image_pins.find_images(text)
    assert {place.image.path.split("/")[-1] for place in places} == {
        *("postgres", "nats", "prometheus", "alertmanager", "grafana", "opentelemetry-collector-contrib")
    }
    assert all(place.image.tag in text.splitlines()[place.line - 1] for place in places)


def test_the_check_names_what_is_loose() -> None:
    """With its line; it asks nobody."""
    text = f"services:\n  a: {{image: 'b:1@{DIGEST}'}}\n  c: {{image: d:2}}\n"
    with pytest.raises(ImagesUnpinned, match=r"1 of 2 images have no digest:\n    line 3: d:2"):
        image_pins.require_pinned(image_pins.find_images(text))
    image_pins.require_pinned(image_pins.find_images(text.replace("d:2", f"d:2@{DIGEST}")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: [", "no YAML"),
        ("a: b", "no services"),
        ("services: {a: {image: '${A}/b:1'}}", r"\(line 1\)"),
        ("services:\n  a:\n    image: >-\n      b:1\n", "line 3"),
        ("services: {a: {image: [b]}}", "line 1"),
    ],
)
def test_what_cannot_be_pinned_is_refused(text: str, words: str) -> None:
    """Nothing is passed over in silence."""
    with pytest.raises((ComposeUnreadable, ImageUnreadable), match=words):
        image_pins.find_images(text)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    """As a sentence."""
    with pytest.raises(ComposeUnreadable, match="cannot be read"):
        image_pins.read(tmp_path / "none.yaml")
    with pytest.raises(FolderUnwritable, match="cannot be written"):
        image_pins.write(tmp_path / "none" / "none.yaml", "")


async def test_the_stand_in_refuses_what_the_specification_does() -> None:
    """A client that forgets the index's media type would pin one platform: here it fails."""
    async with serve(StandIn({("a", "1"): b"{}"})) as strict:
        name = ImageName.parse(f"{strict.address}/a:1")
        async with aiohttp.ClientSession() as session:
            async with session.head(name.manifest_url, headers={"Accept": INDEX}) as answer:
                assert answer.status == 400
            async with session.get(f"http://{strict.address}/token?scope=all") as answer:
                assert answer.status == 400
    assert len(strict.faults) == 3
