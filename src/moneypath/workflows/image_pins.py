"""Pin the images of a Compose file by digest: the file keeps every comment and all of its form."""

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from moneypath.errors import MoneypathError
from moneypath.stack.errors import FolderUnwritable
from moneypath.workflows.image_names import ImageName, ImageUnreadable

AskDigest = Callable[[ImageName], Awaitable[str]]
_MAX_DEPTH = 10


class ComposeUnreadable(MoneypathError):
    """The file is no Compose file."""

    code = "compose_unreadable"


class ImagesUnpinned(MoneypathError):
    """Images are named by tag alone."""

    code = "images_unpinned"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file names an image: the characters of the value, without its quotes, and the line."""

    start: int
    end: int
    line: int
    image: ImageName


@dataclass(frozen=True, slots=True)
class Pin:
    """An image before and after."""

    before: ImageName
    after: ImageName
    lines: tuple[int, ...]

    @property
    def changed(self) -> bool:
        """Tell whether the file's text becomes another one."""
        return self.before != self.after


def find_images(text: str) -> tuple[Place, ...]:
    """Return every image that is pulled, in the file's order; one that is built here has no digest yet.

    Raises ComposeUnreadable, and ImageUnreadable with the line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ComposeUnreadable(f"File is no YAML: {' '.join(str(error).split())}.") from error
    services = _value(root, "services")
    if not isinstance(services, yaml.MappingNode):
        raise ComposeUnreadable("File has no services.", hint="Give a Compose file with --file.")
    places = {}
    for _, service in services.value:
        node = _value(service, "image")
        if node is None or _value(service, "build") is not None:
            continue
        place = _place(text, node)
        places[place.start] = place  # services that share an anchor share its image
    return tuple(places[start] for start in sorted(places))


def _place(text: str, node: yaml.Node) -> Place:
    line = node.start_mark.line + 1
    quotes = 1 if isinstance(node, yaml.ScalarNode) and node.style in {"'", '"'} else 0
    start, end = node.start_mark.index + quotes, node.end_mark.index - quotes
    if text[start:end] != node.value:
        raise ImageUnreadable(f"Image is not written on one line as it is: line {line}.")
    try:
        return Place(start, end, line, ImageName.parse(node.value))
    except ImageUnreadable as error:
        raise ImageUnreadable(f"{error.what.rstrip('.')} (line {line}).", hint=error.hint) from error


def _value(node: yaml.Node | None, key: str, depth: int = 0) -> yaml.Node | None:
    """Return the value of a key, from the mapping itself or from what it merges."""
    if not isinstance(node, yaml.MappingNode) or depth > _MAX_DEPTH:
        return None
    own = {each.value: value for each, value in node.value}
    if key in own:
        found: yaml.Node | None = own[key]
        return found
    merged = own.get("<<")
    sources = merged.value if isinstance(merged, yaml.SequenceNode) else [merged]
    return next((value for each in sources if (value := _value(each, key, depth + 1)) is not None), None)


async def resolve(places: tuple[Place, ...], ask: AskDigest, *, update: bool) -> tuple[Pin, ...]:
    """Ask for the digest of each image once. One that has a digest keeps it, unless it is to be updated."""
    lines: dict[ImageName, list[int]] = {}
    for place in places:
        lines.setdefault(place.image, []).append(place.line)
    pins = []
    for image, found in lines.items():
        kept = image.digest is not None and not update
        after = image if kept else image.pinned(await ask(image))
        pins.append(Pin(image, after, tuple(found)))
    return tuple(pins)


def rewrite(text: str, places: tuple[Place, ...], pins: tuple[Pin, ...]) -> str:
    """Return the text with the pinned names in their places and nothing else changed."""
    return "".join(_parts(text, places, {pin.before: pin for pin in pins}))


def _parts(text: str, places: tuple[Place, ...], pins: dict[ImageName, Pin]) -> Iterator[str]:
    position = 0
    for place in places:
        yield text[position : place.start]
        pin = pins[place.image]
        yield str(pin.after) if pin.changed else text[place.start : place.end]
        position = place.end
    yield text[position:]


def require_pinned(places: tuple[Place, ...]) -> None:
    """Raise ImagesUnpinned with each image that is named by tag alone."""
    loose = [f"line {place.line}: {place.image}" for place in places if place.image.digest is None]
    if loose:
        raise ImagesUnpinned(
            f"{len(loose)} of {len(places)} images have no digest:\n    " + "\n    ".join(loose),
            hint="Run `moneypath compose pin` where their registries can be reached.",
        )


def read(file: Path) -> str:
    """Return the file's text with its line ends as they are."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ComposeUnreadable(f"File cannot be read: {file}: {reason}.") from error


def write(file: Path, text: str) -> None:
    """Replace the file at once, with its rights: nobody reads half of it."""
    target = file.resolve()
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
            new.write(text.encode())
        Path(new.name).chmod(target.stat().st_mode & 0o777)
        Path(new.name).replace(target)
    except OSError as error:
        raise FolderUnwritable(f"File cannot be written: {file}: {error.strerror}.") from error
