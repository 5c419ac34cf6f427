"""A real Alertmanager without a cluster, with its templates in its folder."""

import shutil
from pathlib import Path

from moneypath.stack import packages
from moneypath.stack.binaries import Binary
from moneypath.stack.errors import FolderUnwritable
from moneypath.stack.server import ServerSpec, http_ready

# Alertmanager's defaults refer to these templates. Webhooks do not use them, but they must exist.
_OWN_TEMPLATE = """\
{{ define "__alertmanager" }}Alertmanager{{ end }}
{{ define "__alertmanagerURL" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}{{ end }}
{{ define "__subject" }}[{{ .Status | toUpper }}] {{ .GroupLabels.SortedPairs.Values | join " " }}{{ end }}
{{ define "__description" }}{{ end }}
"""


def spec(binary: Binary, folder: Path, port: int, *, config_file: Path) -> ServerSpec:
    """Copy the configuration into `folder` and describe the server.

    Debian's build reads its templates from a fixed path. The copy in our cache is changed to read them from
    the folder in which it runs (see packages.py), so they are put there: the package's own, or else a minimal
    one. Relative paths in the configuration start at `folder`.
    """
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        own_config = folder / "alertmanager.yml"
        if config_file.resolve() != own_config.resolve():
            own_config.write_bytes(config_file.read_bytes())
        _put_templates(binary, folder / packages.PORTABLE_TEMPLATES)
    except OSError as error:
        raise FolderUnwritable(
            f"file not readable or folder not writable: {error.filename} ({error.strerror})",
            hint="Choose a run folder that you own.",
        ) from error
    url = f"http://127.0.0.1:{port}"
    return ServerSpec(
        name="alertmanager",
        command=(
            str(binary.path),
            f"--config.file={own_config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={url}/",
            "--cluster.listen-address=",
        ),
        ready=http_ready(f"{url}/-/ready"),
        cwd=folder,
        port=port,
        hint=f"Check its configuration: amtool check-config '{own_config}'.",
    )


def _put_templates(binary: Binary, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    packaged = binary.path.resolve().parent.parent / "share" / "prometheus" / "alertmanager"
    for name in ("default.tmpl", "email.tmpl"):
        source = packaged / name
        if source.is_file():
            shutil.copyfile(source, folder / name)
        else:
            (folder / name).write_text(_OWN_TEMPLATE if name == "default.tmpl" else "", encoding="utf-8")
