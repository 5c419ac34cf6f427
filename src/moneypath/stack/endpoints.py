"""The addresses of a running stack, for other processes that attach to it."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from moneypath.stack.errors import FolderUnwritable, StackError

FILE_NAME = "endpoints.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The addresses of one stack, the target that it is, and the factor by which its time is scaled.

    `oracle_dsn` holds a password, so it is left out of the repr and the file has mode 0600.
    """

    target: str
    service: str
    worker: str
    prometheus: str
    alertmanager: str
    pager: str
    providers: dict[str, str]
    oracle_dsn: str = field(repr=False)
    secrets_folder: Path
    run_folder: Path
    scale: int

    def control_token(self, provider: str) -> str:
        """Return the token for the fault controls and the book of one provider."""
        return (self.secrets_folder / f"{provider}_control_token").read_text(encoding="utf-8").strip()

    def to_json(self) -> str:
        """Return the addresses as JSON, including the password."""
        plain = asdict(self) | {
            "secrets_folder": str(self.secrets_folder),
            "run_folder": str(self.run_folder),
        }
        return json.dumps(plain, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`; raises StackError with the invalid key."""
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise StackError(f"endpoints unreadable: not JSON ({error})") from error
        names = {each.name for each in fields(cls)}
        if not isinstance(plain, dict) or set(plain) != names:
            given = set(plain) if isinstance(plain, dict) else set()
            raise StackError(f"endpoints unreadable: missing or unknown keys {sorted(names ^ given)}")
        providers = plain.pop("providers")
        if not isinstance(providers, dict):
            raise StackError("endpoints unreadable: providers must map a name to an address")
        scale = plain.pop("scale")
        if type(scale) is not int:
            raise StackError("endpoints unreadable: scale must be a whole number")
        for key, value in (plain | providers).items():
            if not isinstance(value, str):
                raise StackError(f"endpoints unreadable: {key} must be a string")
        secrets_folder, run_folder = Path(plain.pop("secrets_folder")), Path(plain.pop("run_folder"))
        return cls(
            **plain,
            providers=providers,
            secrets_folder=secrets_folder,
            run_folder=run_folder,
            scale=scale,
        )

    def save(self) -> Path:
        """Write run_folder/endpoints.json atomically, with mode 0600."""
        file = self.run_folder / FILE_NAME
        draft = file.with_suffix(".partial")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
                writer.write(self.to_json())
            draft.replace(file)
        except OSError as error:
            raise FolderUnwritable(
                f"folder not writable: {self.run_folder} ({error.strerror})",
                hint="Choose a run folder that you own.",
            ) from error
        return file

    @classmethod
    def load(cls, run_folder: Path) -> Self:
        """Read the addresses of the stack that runs in `run_folder`."""
        file = run_folder / FILE_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise StackError(
                f"no running stack: {file} ({error.strerror})",
                hint="Start one first, or name the run folder that it printed at its start.",
            ) from error
        return cls.from_json(text)
