"""Rotates the key of access tokens while the service runs: `python -m refpay.identity rotate`."""

import argparse
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from refpay.errors import StartRefused
from refpay.identity.token_keys import KEYS_FILE, TokenKeys, encode


def main(arguments: list[str]) -> None:
    """Run `rotate`, the one command there is; raises StartRefused."""
    parser = argparse.ArgumentParser(prog="python -m refpay.identity", description=__doc__)
    rotate = parser.add_subparsers(dest="command", required=True).add_parser(
        "rotate", help="sign with a new key; the last one verifies until the next rotation"
    )
    rotate.add_argument(
        "--at-once", action="store_true", help="forget every other key: each token so far is refused"
    )
    given = parser.parse_args(arguments)
    folder = os.environ.get("REFPAY_SECRETS_FOLDER", "").strip()
    if not folder:
        raise StartRefused("REFPAY_SECRETS_FOLDER is not set")
    rotate_keys(Path(folder) / KEYS_FILE, at_once=given.at_once)


def rotate_keys(file: Path, *, at_once: bool = False) -> str:
    """Put a new signing key into a key file and return its id.

    Of the last one only the public half stays, so that nobody can sign with it any more and its tokens last
    until they run out; with `at_once` nothing stays. Rotate no more often than tokens last. Raises
    StartRefused when the file cannot be read or replaced.
    """
    before = TokenKeys.load(file)
    new = Ed25519PrivateKey.generate()
    # Named after itself, so that no two keys ever share an id.
    kid = encode(new.public_key().public_bytes_raw())[:16]
    keys = {kid: {"private": encode(new.private_bytes_raw())}}
    if not at_once:
        keys[before.signing_kid] = {"public": encode(before.signing.public_key().public_bytes_raw())}
    _replace(file, json.dumps({"signing": kid, "keys": keys}, indent=2))
    return kid


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())
        new.replace(file)
    except OSError as problem:
        new.unlink(missing_ok=True)
        raise StartRefused(f"key file cannot be replaced: {file} ({problem.strerror})") from problem
