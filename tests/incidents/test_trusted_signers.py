"""The file of trusted signers says who may sign and when, or what is wrong with it, by line and key."""

from pathlib import Path

import pytest

from moneypath.incidents.signing import encode, load_key_file
from moneypath.incidents.trusted_signers import load_trusted_signers, new_signer
from moneypath.path.problems import DeclarationInvalid

KEY = encode(bytes(range(32)))
OTHER = encode(bytes(range(1, 33)))
ENTRY = f"""\
  - id: audit-2026
    owner: Internal audit
    public_key: {KEY}
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2027-01-01T00:00:00Z
"""
FILE = f"format: 1\nsigners:\n{ENTRY}"
SECOND = ENTRY.replace("audit-2026", "audit-2027").replace(KEY, OTHER)


def written(folder: Path, text: str) -> Path:
    """Write the file."""
    file = folder / "signers.yaml"
    file.write_text(text)
    return file


def test_rotation_is_a_second_key(tmp_path: Path) -> None:
    """Both are trusted, each in its time."""
    signers = load_trusted_signers(written(tmp_path, FILE + SECOND))
    found = [signers.holder_of(key) for key in (KEY, OTHER, encode(bytes(32)))]
    assert [None if one is None else one.id for one in found] == ["audit-2026", "audit-2027", None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (FILE.replace("format: 1", "format: 2"), ":1: format"),
        ("format: 1\nsigners: []\n", "signers"),
        (FILE.replace(KEY, "AAAA"), "is no Ed25519 public key; allowed: 32 bytes in base64"),
        (FILE.replace(KEY, "no base64!"), "is not base64"),
        (FILE.replace("2027-01-01T00:00:00Z", "2025-01-01T00:00:00Z"), "is not after valid_from"),
        (FILE.replace("2027-01-01T00:00:00Z", "2027-01-01T00:00:00"), "valid_until"),
        (FILE.replace("id: audit-2026", "id: Audit 2026"), "id"),
        (FILE + ENTRY, "is used twice"),
        (FILE + ENTRY.replace("audit-2026", "audit-2027"), "public_key"),
        (FILE + "    revoked_at: 2026-05-01T00:00:00Z\n", "without the other"),
        (FILE + "    revocation_reason: stolen\n", "without the other"),
        (FILE + "    trusted: true\n", "trusted"),
    ],
)
def test_file_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A sentence names file, line and key."""
    with pytest.raises(DeclarationInvalid) as caught:
        load_trusted_signers(written(tmp_path, text))
    assert "signers.yaml:" in str(caught.value)
    assert words in str(caught.value)


def test_new_key_comes_with_its_entry(tmp_path: Path) -> None:
    """What is printed is a file of trusted signers with that key."""
    text = new_signer(tmp_path / "key.pem", "audit-2027", 'Audit "A": two', 365)
    signers = load_trusted_signers(written(tmp_path, text))
    holder = signers.holder_of(encode(load_key_file(tmp_path / "key.pem").public_key))
    assert holder is not None
    assert (holder.id, holder.owner) == ("audit-2027", 'Audit "A": two')


@pytest.mark.parametrize(("name", "owner"), [("Audit 2027", "Audit"), ("audit", ""), ("a: b", "Audit")])
def test_new_key_with_a_name_that_no_entry_may_have_is_not_made(
    tmp_path: Path, name: str, owner: str
) -> None:
    """Nothing is written."""
    with pytest.raises(DeclarationInvalid):
        new_signer(tmp_path / "key.pem", name, owner, 365)
    assert not (tmp_path / "key.pem").exists()


def test_file_of_the_guide_is_one(tmp_path: Path) -> None:
    """What people copy is read without a complaint."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "evidence.md").read_text(encoding="utf-8")
    text = guide.partition("```yaml\n")[2].partition("```")[0]
    assert [signer.id for signer in load_trusted_signers(written(tmp_path, text)).signers] == [
        "audit-2026",
        "audit-2027",
    ]
