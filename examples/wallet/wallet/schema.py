"""Create the tables, as the owner of the database: `python -m wallet.schema OWNER_DSN_FILE WRITER READER`."""

import sys
from pathlib import Path

from sqlalchemy import create_engine

from wallet.tables import create


def main(dsn_file: str, writer: str, reader: str) -> None:
    """Create what is missing."""
    dsn = Path(dsn_file).read_text(encoding="utf-8").strip()
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
    create(engine, writer=writer, reader=reader)
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
