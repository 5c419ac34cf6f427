"""A small time-stamping authority: openssl answers the requests, a loopback server hands them on."""

import asyncio
import datetime as dt
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OPENSSL = shutil.which("openssl")
_CONFIG = """
[tsa]
default_tsa = own
[own]
dir = {folder}
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority's folder of keys and certificates."""

    folder: Path

    @property
    def root(self) -> Path:
        """The certificate that a verifier is given."""
        return self.folder / "root.pem"

    async def answer(self, query: bytes) -> bytes:
        """Return the answer to a request, as openssl writes it."""
        assert OPENSSL is not None
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder) / "query", Path(folder) / "answer"
            asked.write_bytes(query)
            process = await asyncio.create_subprocess_exec(
                OPENSSL, "ts", "-reply", "-config", str(self.folder / "tsa.cnf"), "-queryfile", str(asked),
                "-out", str(answered), stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, errors = await process.communicate()
            assert process.returncode == 0, errors.decode()
            return answered.read_bytes()

    @asynccontextmanager
    async def serving(self, *, replay: bytes = b"", status: int = 200) -> AsyncIterator[str]:
        """Serve on loopback; with `replay` every request gets that answer."""

        async def handle(request: web.Request) -> web.Response:
            body = replay or await self.answer(await request.read())
            return web.Response(body=body, status=status, content_type="application/timestamp-reply")

        app = web.Application()
        app.add_routes([web.post("/", handle)])
        async with TestServer(app) as server:
            yield str(server.make_url("/"))


def make_authority(folder: Path) -> Authority:
    """Make root and signing certificate, and what openssl needs."""
    folder.mkdir()
    root_key, tsa_key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Root of {folder.name}")])
    tsa_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Time-stamps of {folder.name}")])
    root = (
        _builder(root_name, root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    tsa = (
        _builder(tsa_name, root_name, tsa_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "tsa.pem").write_bytes(tsa.public_bytes(Encoding.PEM))
    (folder / "tsa.key").write_bytes(tsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
    return Authority(folder)


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
