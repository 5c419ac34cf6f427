"""The file of a target: every mistake is named with its file, line, key and what is allowed."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from moneypath.path.source import DeclarationInvalid
from moneypath.secret_files import SECRET_BYTES_MAX, SecretFileUnusable, read_secret
from moneypath.target.errors import VariableMissing
from moneypath.target.loader import flatten, load_target, read_variables

from .stranger import DOCUMENT, target_file, write_target

PROJECT = Path(__file__).parents[2]
GIVEN = {"wallet": "http://w", "prometheus": "http://p/prefix", "alertmanager": "http://a"}
Change = Callable[[dict[str, Any]], object]


def test_a_file_that_is_right_is_loaded(tmp_path: Path) -> None:
    """Variables stand where they are used, in addresses and in bodies."""
    target = load_target(target_file(tmp_path), GIVEN)
    assert target.document.look.prometheus.url == "http://p/prefix"
    canary = target.document.canary
    assert canary is not None
    assert canary.call.request is not None
    assert canary.call.request.url == "http://w/topups"
    assert target.path("wallet_key") == tmp_path / "wallet_key"


def test_the_file_of_the_reference_is_right() -> None:
    """What `targets/reference.yaml` says can be said; its variables are in the addresses of a stack."""
    names = ("service", "prometheus", "alertmanager", "pager", "secrets_folder")
    given = dict.fromkeys(names, "http://127.0.0.1:1")
    stack = {**given, "providers": {"north": "http://n", "south": "http://s"}, "scale": 60, "run_folder": "r"}
    target = load_target(PROJECT / "targets" / "reference.yaml", None, flatten(stack))
    assert target.document.places["north"]["control"] == "http://n/control"
    assert set(target.document.faults["provider"].where) == {"north", "south"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("environment"), "environment: missing key"),
        (lambda d: d.update(environment="Staging 1"), "environment:"),
        (lambda d: d.update(colour="red"), "is an unknown key"),
        (lambda d: d["look"].pop("prometheus"), "look.prometheus: missing key"),
        (lambda d: d["look"]["prometheus"].update(url="ftp://p"), "look.prometheus.url:"),
        (lambda d: d["variables"].pop("wallet"), "${wallet} is used and not declared"),
        (lambda d: d["canary"]["call"]["request"].update(json={"a": "{uniqe}"}), "there is no {uniqe}"),
        (lambda d: d["canary"]["call"].update(command=["true"]), "needs a `request` or a `command`"),
        (lambda d: d["canary"]["call"].update(timeout_seconds=0), "timeout_seconds"),
        (lambda d: d["load"].update(command=["locust"]), "needs a `command`, or `live: true`"),
        (lambda d: d.update(load={"command": ["x", "{user}"]}), "there is no {user}"),
        (lambda d: d["actions"]["bank.off"].update(undo="bank.up"), "there is no action bank.up"),
        (lambda d: d["actions"]["bank.off"].update(try_with=[]), "has 0 values for 1 arguments"),
        (lambda d: d["actions"]["bank.on"].update(arguments=[]), "there is no {bank}"),
        (lambda d: d["faults"]["bank"]["where"].append("bank-two"), "there is no place bank-two"),
        (lambda d: d["faults"]["bank"].pop("hits"), "`hits` and `hits_field` go together"),
        (lambda d: _kind(d)["harmless"]["params"].update(share=2), "2 is out of bounds"),
        (lambda d: _kind(d)["harmless"]["params"].pop("share"), "`share` is missing"),
        (lambda d: _kind(d)["harmless"]["params"].update(size=1), "there is no such parameter"),
        (lambda d: _kind(d)["harmless"].update(where="bank-two"), "is no place of these faults"),
        (lambda d: _kind(d)["params"].update(where={"type": "text"}), "`where` is no parameter"),
        (lambda d: _kind(d)["params"]["reason"].update(least=1), "a text has no bounds"),
        (lambda d: d["places"].update({"bank-two": {"on": "x"}}), "lacks at"),
        (lambda d: d.update(drillable="yes"), "drillable:"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, change: Change, said: str) -> None:
    """File and line stand first; what is allowed stands last."""
    document = deepcopy(DOCUMENT)
    change(document)
    file = write_target(tmp_path, document)
    with pytest.raises(DeclarationInvalid) as raised:
        load_target(file, GIVEN)
    assert said in raised.value.what
    assert raised.value.what.startswith(f"{file}:")


def _kind(document: dict[str, Any]) -> dict[str, Any]:
    kind: dict[str, Any] = document["faults"]["bank"]["kinds"]["brownout"]
    return kind


def test_variables_without_a_value_are_named(tmp_path: Path) -> None:
    """A missing one, and one that the file does not have."""
    file = target_file(tmp_path)
    with pytest.raises(VariableMissing, match="without a value: wallet, alertmanager"):
        load_target(file, {"prometheus": "http://p"})
    with pytest.raises(VariableMissing, match="there is no variable walet; allowed: wallet, prometheus"):
        load_target(file, {"walet": "http://w"})
    with pytest.raises(VariableMissing, match=r"with its variables look\.prometheus\.url is wrong"):
        load_target(file, GIVEN | {"prometheus": "gopher://p"})
    with pytest.raises(VariableMissing, match="is not JSON"):
        read_variables(file)
    with pytest.raises(VariableMissing, match="cannot be read"):
        read_variables(tmp_path / "none.json")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o640])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The mode is named, and nothing of the secret is quoted; to the owner alone it is given."""
    file = tmp_path / "token"
    file.write_text("open-sesame\n")
    file.chmod(mode)
    with pytest.raises(SecretFileUnusable, match=f"mode {mode:04o}") as raised:
        read_secret(file)
    assert "open-sesame" not in str(raised.value)
    file.chmod(0o600)
    assert read_secret(file) == "open-sesame"


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"a\nb\n", b"\xff\xfe", b"a\x00b", b"x" * (SECRET_BYTES_MAX + 1)]
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, of several lines, binary or too large: a sentence with the file, nothing of its content."""
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SecretFileUnusable, match="token:"):
        read_secret(file)


def test_a_folder_and_a_pipe_are_no_secrets(tmp_path: Path) -> None:
    """Neither is read, and neither makes us wait."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for file in (tmp_path, pipe, tmp_path / "none"):
        with pytest.raises(SecretFileUnusable):
            read_secret(file)
