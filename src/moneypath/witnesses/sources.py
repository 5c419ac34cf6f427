"""Find the source that a witness names."""

from pathlib import Path
from typing import TypeAlias

from moneypath.witnesses.columns import Columns
from moneypath.witnesses.declaration import Witness
from moneypath.witnesses.file_source import FileSource
from moneypath.witnesses.sql_source import SqlSource
from moneypath.witnesses.window import Window

Source: TypeAlias = SqlSource | FileSource


def source_of(witness: Witness, folder: Path, columns: Columns, window: Window) -> Source:
    """Return what reads a witness; its paths begin at `folder`."""
    if witness.file is not None:
        return FileSource(witness, folder, columns)
    return SqlSource(witness, folder, columns, window)
