"""What an error quotes of a server's log: its last lines, errors before them, the end of a long line."""

from pathlib import Path

from moneypath.stack.log_tail import read_tail


def test_a_long_line_keeps_its_cause(tmp_path: Path) -> None:
    """Go wraps an error, so its cause stands last: Prometheus 3 names a rule's file three times before it."""
    log = tmp_path / "prometheus.log"
    wrapped = f'level=ERROR msg="Error loading rules" err="{"in /a/folder: " * 100}could not parse: sum("'
    log.write_text(f"{wrapped}\n")
    (line,) = read_tail(log)
    assert line.startswith('level=ERROR msg="Error loading rules"')
    assert line.endswith('could not parse: sum("')
    assert len(line) < len(wrapped) / 2


def test_a_line_that_fits_is_whole(tmp_path: Path) -> None:
    """Nothing is left out of a line that is not longer than what is kept."""
    log = tmp_path / "server.log"
    log.write_text("x" * 700)
    assert read_tail(log) == ("x" * 700,)


def test_errors_stand_before_the_last_lines(tmp_path: Path) -> None:
    """Some servers log much after the cause."""
    log = tmp_path / "server.log"
    log.write_text("\n".join(["FATAL: no space", *(f"line {number}" for number in range(20))]))
    first, *rest = read_tail(log)
    assert first == "FATAL: no space"
    assert rest == [f"line {number}" for number in range(12, 20)]
