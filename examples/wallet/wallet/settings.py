"""What the wallet's processes are told by their environment; secrets are read from files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LONGEST_SECRET: Final = 4096


class NotConfigured(Exception):
    """A setting that is missing or wrong; the message says which."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the API and the worker.

    A bank has `bank_patience_seconds` to answer. The worker asks it what became of an order without an
    answer that is `ask_after_seconds` old. No bank carries out an order older than `order_life_seconds`.
    """

    database_url: str = field(repr=False)
    secrets_folder: Path
    banks: Mapping[str, str]
    port: int
    answers_file: Path
    bank_patience_seconds: float = 1.0
    ask_after_seconds: float = 2.5
    order_life_seconds: float = 2.0

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; raises NotConfigured."""
        try:
            banks = dict(part.split("=", 1) for part in environ["WALLET_BANKS"].split(","))
            return cls(
                database_url=environ["WALLET_DATABASE_URL"],
                secrets_folder=Path(environ["WALLET_SECRETS_FOLDER"]),
                banks=banks,
                port=int(environ["WALLET_PORT"]),
                answers_file=Path(environ["WALLET_ANSWERS_FILE"]),
            )
        except KeyError as missing:
            raise NotConfigured(f"{missing.args[0]} is not set") from None
        except ValueError:
            raise NotConfigured("WALLET_BANKS has to be name=address,..., and WALLET_PORT a number") from None

    def secret(self, name: str) -> str:
        """Return the secret `name`; raises NotConfigured without its content."""
        try:
            text = (self.secrets_folder / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise NotConfigured(f"secret {name} cannot be read: {error.strerror}") from None
        if not 16 <= len(text) <= LONGEST_SECRET:
            raise NotConfigured(f"secret {name} is too short or too long")
        return text

    def database(self) -> str:
        """Return the database's address with the password from the secrets, for SQLAlchemy and psycopg."""
        scheme, rest = self.database_url.split("://", 1)
        user, host = rest.split("@", 1)
        return f"{scheme}+psycopg://{user}:{self.secret('database_password')}@{host}"
