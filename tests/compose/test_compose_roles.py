"""The script that makes the database's roles, on a real PostgreSQL."""

import subprocess
from pathlib import Path

import asyncpg
import pytest

from moneypath.stack import postgres, secrets
from moneypath.stack.binaries import find
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

SCRIPT = Path(__file__).parents[2] / "compose/roles.sh"


def run(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run the script as the container does."""
    psql = find("postgres").path.parent
    environment = {
        "PATH": f"{psql}:/usr/bin:/bin",
        "PGHOST": "127.0.0.1",
        "PGUSER": "postgres",
        "PGPORT": str(port),
    }
    command = ["sh", str(SCRIPT), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_it_makes_the_roles_and_may_run_again(tmp_path: Path) -> None:
    """Each role gets in with its password; a second run with new passwords replaces them."""
    folder = tmp_path / "database"
    roles = ("refpay_owner", "refpay_app", "refpay_oracle")
    minted = secrets.mint(folder, [*roles, "postgres"])
    with PortPool({}) as ports:
        port = ports.reserve("postgres")
        # A server that knows none of our roles: the superuser's alone.
        server = await postgres.prepare(
            tmp_path / "server",
            port,
            superuser_password=minted["postgres"],
            roles={"someone": "a-password-of-someone"},
            owner="someone",
            database="other",
        )
        async with Supervisor(tmp_path / "run") as supervisor:
            await supervisor.start(server.spec)
            assert (first := run(folder, port)).returncode == 0, first.stderr
            for role in roles:
                await _enter(port, role, minted[role])
            (folder / "refpay_app").unlink()
            again = secrets.mint(folder, ["refpay_app"])
            assert (second := run(folder, port)).returncode == 0, second.stderr
            await _enter(port, "refpay_app", again["refpay_app"])
            with pytest.raises(asyncpg.InvalidPasswordError):
                await _enter(port, "refpay_app", minted["refpay_app"])
            (folder / "refpay_oracle").unlink()
            assert run(folder, port).returncode != 0, "a missing secret must not become an empty password"
            (folder / "refpay_oracle").touch()
            assert run(folder, port).returncode != 0, "nor an empty one"


async def _enter(port: int, role: str, password: str) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user=role, password=password, database="refpay", timeout=10
    )
    try:
        owner = await connection.fetchval(
            "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'refpay'"
        )
        assert owner == "refpay_owner"
    finally:
        await connection.close()
