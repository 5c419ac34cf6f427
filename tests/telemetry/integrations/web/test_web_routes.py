"""Any path becomes one of a closed set of templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.integrations.routes import Routes

TEMPLATES = (
    "/",
    "/healthz",
    "/v1/payments",
    "/v1/payments/{payment_id}",
    "/v1/{kind}/latest",
    "/items/{item_id}",
    "/v1/items/{item_id}",
    "/files/{name:path}",
)
ROUTES = Routes(TEMPLATES)


@given(
    st.text(max_size=40) | st.from_regex(r"/(v1|files|items)(/[a-z]{1,8}){0,4}/?", fullmatch=True), st.text()
)
def test_label_is_in_the_closed_set(path: str, matched: str) -> None:
    """No path of a caller and no match of a framework gives another label."""
    assert ROUTES.find(path, matched) in (*TEMPLATES, "other")


@given(st.sampled_from(TEMPLATES), st.text("abcXYZ019-._~", min_size=1, max_size=12))
def test_path_made_from_a_template_is_found_under_one_that_fits(template: str, value: str) -> None:
    """If the framework matched a template, it is that one."""
    path = template.replace("{payment_id}", value).replace("{kind}", value).replace("{item_id}", value)
    path = path.replace("{name:path}", f"{value}/{value}")
    assert ROUTES.find(path) != "other"
    assert ROUTES.find(path, template) in (template, path)


@pytest.mark.parametrize(
    ("path", "matched", "template"),
    [
        # The first that fits, unless the framework says otherwise.
        ("/v1/payments/latest", None, "/v1/payments/{payment_id}"),
        ("/v1/payments/latest", "/v1/{kind}/latest", "/v1/{kind}/latest"),
        # The framework's word lacks the prefix of an included router.
        ("/v1/items/7", "/items/{item_id}", "/v1/items/{item_id}"),
        ("/items/7", "/items/{item_id}", "/items/{item_id}"),
        # The framework matched what is not declared.
        ("/v2/items/7", "/items/{item_id}", "other"),
        ("/unknown", "/unknown", "other"),
    ],
)
def test_the_frameworks_match_decides_between_templates(
    path: str, matched: str | None, template: str
) -> None:
    """It never adds a template."""
    assert ROUTES.find(path, matched) == template


def test_no_routes_is_a_closed_set_too() -> None:
    """Every path is `other`."""
    assert Routes(()).find("/") == "other"
