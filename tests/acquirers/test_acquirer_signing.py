"""What the acquirer signs, with which key, and which files of keys it refuses."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from acquirers.errors import SecretMissing
from acquirers.signing import Signer

OLD, NEW = "0f" * 32, "a1" * 32


def write(folder: Path, content: object) -> Path:
    """Write north's file of keys."""
    file = folder / "webhook_north.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def make(folder: Path) -> Signer:
    """Return a signer whose clock stands still."""
    return Signer(folder, "north", now=lambda: 1_767_225_600.9)


def test_a_request_is_signed_as_agreed(tmp_path: Path) -> None:
    """Recomputed from the text of the contract; the time is in whole seconds, the nonce of its alphabet."""
    write(tmp_path, {"keys": {"k1": OLD}})
    headers = make(tmp_path).headers("POST", "/v1/webhooks/north?a=%20b", b'{"x":1}')
    nonce = headers["X-Signature-Nonce"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{16,64}", nonce)
    assert (headers["X-Signature-Key"], headers["X-Signature-Timestamp"]) == ("k1", "1767225600")
    body = hashlib.sha256(b'{"x":1}').hexdigest()
    text = f"v1\nPOST\n/v1/webhooks/north?a=%20b\n1767225600\n{nonce}\n{body}"
    expected = hmac.new(bytes.fromhex(OLD), text.encode(), hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"v1={expected}"


def test_no_two_requests_share_a_nonce(tmp_path: Path) -> None:
    """Or the second would be refused as a replay."""
    write(tmp_path, {"keys": {"k1": OLD}})
    signer = make(tmp_path)
    assert len({signer.headers("POST", "/", b"")["X-Signature-Nonce"] for _ in range(100)}) == 100


def test_the_last_key_signs_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A rotated key is used at once; a torn or missing file leaves the last good one in force."""
    write(tmp_path, {"keys": {"k1": OLD}})
    signer = make(tmp_path)
    file = write(tmp_path, {"keys": {"k1": OLD, "k2": NEW}})
    assert signer.headers("POST", "/", b"")["X-Signature-Key"] == "k2"
    write(tmp_path, "{")
    assert signer.headers("POST", "/", b"")["X-Signature-Key"] == "k2"
    file.unlink()
    assert signer.headers("POST", "/", b"")["X-Signature-Key"] == "k2"
    write(tmp_path, {"keys": {"k3": OLD}})
    assert signer.headers("POST", "/", b"")["X-Signature-Key"] == "k3"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "must be JSON"),
        ([], "keys must map"),
        ({"keys": {}}, "keys must map"),
        ({"keys": {"a b": OLD}}, "a key id must be"),
        ({"keys": {"k1": OLD, "k2": OLD.upper()}}, "key k2: must be 64 of"),
        ({"keys": {"k1": "0f"}}, "key k1: must be 64 of"),
        ({"keys": {"k1": 5}}, "key k1: must be 64 of"),
        ("", "must hold 1 to 4096 bytes"),
    ],
)
def test_an_unusable_file_is_named_at_start(tmp_path: Path, content: object, said: str) -> None:
    """With what is wrong, and without any secret."""
    with pytest.raises(SecretMissing, match=r"webhook_north\.json cannot be read"):
        make(tmp_path)
    write(tmp_path, content)
    with pytest.raises(SecretMissing, match=f"webhook_north.json.*{said}") as caught:
        make(tmp_path)
    assert OLD not in caught.value.detail
    assert OLD.upper() not in caught.value.detail
