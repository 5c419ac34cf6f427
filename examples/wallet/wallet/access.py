"""Who may do what: one bearer token a kind of caller, each in a file."""

import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from fastapi import Header, HTTPException

from wallet.settings import Settings

CALLERS: Final = ("app", "canary", "operator", "approver")


class Access:
    """The tokens of all kinds of callers."""

    def __init__(self, settings: Settings) -> None:
        self._tokens: Mapping[str, str] = {who: settings.secret(f"{who}_token") for who in CALLERS}

    def only(self, *allowed: str) -> Callable[[str], str]:
        """Return a dependency that lets these callers through, and says which one it is."""

        def caller(authorization: Annotated[str, Header()] = "") -> str:
            scheme, _, given = authorization.partition(" ")
            if scheme.lower() == "bearer":
                for who, token in self._tokens.items():
                    if hmac.compare_digest(given.encode(), token.encode()):
                        if who in allowed:
                            return who
                        raise HTTPException(403, "this token may not do that")
            raise HTTPException(401, "a bearer token is needed")

        return caller
