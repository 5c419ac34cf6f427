"""Keys, signers and bundles of the sabotage tests."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import Bundle

from moneypath.incidents.signing import Signer, encode, load_key_file, new_key_file
from moneypath.incidents.trusted_signers import TrustedSigner, TrustedSigners

Trust = Callable[..., TrustedSigners]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Return a signer with a key of its own."""
    new_key_file(tmp_path / "auditor.pem")
    return load_key_file(tmp_path / "auditor.pem")


@pytest.fixture
def trust(signer: Signer) -> Trust:
    """Return a function that trusts the signer, with entries changed as told."""

    def trusting(**changes: object) -> TrustedSigners:
        now = datetime.now(UTC)
        entry = {
            "id": "audit-2026", "owner": "Internal audit", "public_key": encode(signer.public_key),
            "valid_from": now - timedelta(days=1), "valid_until": now + timedelta(days=1), **changes,
        }  # fmt: skip
        return TrustedSigners(format=1, signers=(TrustedSigner.model_validate(entry),))

    return trusting


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return the evidence of a drill that scored 1.00, without any seal."""
    return Bundle(tmp_path, "run-1")


@pytest.fixture
def second_bundle(tmp_path: Path) -> Bundle:
    """Return the evidence of another drill, which failed."""
    return Bundle(tmp_path, "run-2", story={"harm_ends": False})
