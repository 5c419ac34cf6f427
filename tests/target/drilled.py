"""The wallet with all that a drill needs: acknowledged pages, promises, a load, and its witnesses."""

from pathlib import Path
from typing import Any, Final

from moneypath.target.exchange import Exchange
from moneypath.target.loader import Target, load_target

from .stranger import DOCUMENT, target_file

NOWHERE: Final = "http://127.0.0.1:1"
KEYED: Final = {"kind": "header", "name": "X-Wallet-Key", "value_file": "wallet_key"}


def counting(others: bool = False, **more: Any) -> dict[str, Any]:
    """Return how the bank's book counts what it was asked for: of the bank of an action, or of the others."""
    query = "bank={bank}&since={since}&until={until}" + ("&others=yes" if others else "")
    request = {"url": "${wallet}/book?" + query, "auth": KEYED}
    return {"call": {"request": request, "timeout_seconds": 5, **more}, "field": "count"}


PAUSED: Final[dict[str, Any]] = {
    "title": "Nothing new reaches {bank}",
    "witness": "book",
    "count": counting(),
    "most": 0,
    "evidence": {"title": "top-ups at other banks", "count": counting(others=True), "least": 2},
}
LOOK: Final[dict[str, Any]] = DOCUMENT["look"] | {
    "acknowledge": {
        "request": {
            "method": "POST",
            "url": "${wallet}/delivered/{page}/seen",
            "auth": {"kind": "header", "name": "X-Duty-Key", "value_file": "duty_{role}"},
            "json": {"log": "{log_seq} {log_hash}"},
        }
    },
    "heartbeat": {"request": {"url": "${wallet}/beat"}},
}
LOAD: Final[dict[str, Any]] = {
    "command": ["{python}", "customers.py", "${wallet}", "{per_second}", "{answers_file}"],
    "environment": {"USERS": "{users}", "SEED": "{seed}"},
}
# What a load may do: drive, drive nobody, make its file and leave it empty, end at once, ask once.
CUSTOMERS: Final = """
import json, sys, time, urllib.request
url, per_second, file = sys.argv[1], float(sys.argv[2]), sys.argv[3]
how = open("how").read().strip()
if how == "dies":
    print("cannot load the customers")
    sys.exit(0)
if how == "touches":
    open(file, "a").close()
number = 0
while True:
    if how == "drives" or (how == "once" and not number):
        number += 1
        with open(file, "a") as answers:
            for what in ("asked", "answered"):
                answers.write(json.dumps({"at": time.time(), "number": number, "what": what}) + "\\n")
    time.sleep(1 / per_second)
"""


def drilled(**changes: Any) -> dict[str, Any]:
    """Return the changes that make the wallet's document one of a service that can be drilled."""
    actions = dict(DOCUMENT["actions"])
    actions["bank.off"] = actions["bank.off"] | {"promise": PAUSED}
    return {"look": LOOK, "load": LOAD, "actions": actions} | changes


def drilled_target(folder: Path, wallet: str = NOWHERE, how: str = "drives", **changes: Any) -> Target:
    """Return the wallet's target in `folder`, with a load that does `how`."""
    (folder / "customers.py").write_text(CUSTOMERS.replace("\\\\n", "\\n"))
    (folder / "how").write_text(how)
    given = {"wallet": wallet, "prometheus": NOWHERE, "alertmanager": NOWHERE}
    given |= changes.pop("given", {})
    return load_target(target_file(folder, **drilled(**changes)), given)


def drilled_exchange(folder: Path, wallet: str = NOWHERE, **changes: Any) -> Exchange:
    """Return an exchange with the wallet."""
    return Exchange.of(drilled_target(folder, wallet, **changes))
