"""`python -m moneypath` and the command `moneypath`: hand over to the command line, if it was installed."""

import sys


def main() -> None:
    """Run the command line; the base install, which is the library alone, says what it lacks."""
    try:
        from moneypath.cli import main as run
    except KeyboardInterrupt:  # loading takes long enough to be interrupted
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "moneypath":
            raise
        sys.exit(
            f"moneypath: the command line needs the extra platform ({missing.name} is not installed): "
            "pip install 'moneypath[platform]'"
        )
    run()


if __name__ == "__main__":
    main()
