"""What the audit tells of a lie is what somebody acts on: the subject, the money at stake, where to look."""

from .told_of_lies import FILE, told


def test_each_planted_lie_is_told_with_its_money_and_where_to_look() -> None:
    """As it was read and agreed to; `told_of_lies.py` says how to write it again."""
    assert "\n".join(told()) + "\n" == FILE.read_text(encoding="utf-8")
