"""Names of container images: which registry has one, under which path, and whether a digest pins it."""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from moneypath.errors import MoneypathError

# What the OCI distribution specification allows.
_PATH: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG: Final = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(
    rf"(?:(?P<host>localhost|(?=[^/]*[.:])[a-zA-Z0-9.-]+|\[[0-9a-f:]+\])?(?P<port>:\d+)?/)?"
    rf"(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{DIGEST.pattern}))?"
)
# A name without a host means Docker Hub, whose registry answers under a name of its own.
_HUB: Final = "registry-1.docker.io"
_HUB_NAMES: Final = ("docker.io", "index.docker.io")


class ImageUnreadable(MoneypathError):
    """The name of an image is none that a registry knows."""

    code = "image_unreadable"


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image as a file names it: `written` without tag and digest, and where its registry is."""

    written: str
    host: str
    path: str
    tag: str
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """Read `[host[:port]/]path[:tag][@digest]`; no tag means `latest`, as it does for every engine."""
        found = _NAME.fullmatch(text)
        if found is None:
            hint = "Write host/path:tag in full; a variable cannot be asked for."
            raise ImageUnreadable(f"Image has no name that a registry knows: {text}.", hint=hint)
        host = f"{found['host'] or ''}{found['port'] or ''}"
        path, tag = found["path"], found["tag"] or "latest"
        written = f"{host}/{path}" if host else path
        if not host or host in _HUB_NAMES:
            host, path = _HUB, path if "/" in path else f"library/{path}"
        return cls(written, host, path, tag, found["digest"])

    @property
    def manifest_url(self) -> str:
        """Return where the registry answers for the tag; without TLS on loopback only, as engines do."""
        scheme = "http" if is_loopback(self.host) else "https"
        return f"{scheme}://{self.host}/v2/{self.path}/manifests/{self.tag}"

    def pinned(self, digest: str) -> "ImageName":
        """Return the same image at a digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        return f"{self.written}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


def is_loopback(host: str) -> bool:
    """Tell whether `host` or `host:port` is this machine."""
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
