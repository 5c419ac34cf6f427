"""What may be asked of a target: an HTTP request or a command, and what a good answer is."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from moneypath.path.source import DeclarationIssue, DeclarationIssues

MOST_SECONDS: Final = 600

SecretFile = Annotated[
    str, Field(min_length=1, max_length=400, description="the path of a file, relative to this one")
]


def _without_secret(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0]:
        # A ValueError: pydantic makes problems of nothing else.
        raise ValueError("an address holds no user and password: use `auth`")
    return url


Url = Annotated[
    str,
    AfterValidator(_without_secret),
    Field(
        pattern=r"^(https?://|\$?\{)[^\s]+$",
        max_length=400,
        description="an address that begins with http://, https://, ${variable} or {value}",
    ),
]
Limit = Annotated[float, Field(gt=0, le=MOST_SECONDS, description=f"seconds above 0, at most {MOST_SECONDS}")]
Status = Annotated[int, Field(ge=100, le=599, description="an HTTP status")]
Word = Annotated[str, Field(min_length=1, max_length=1000)]


class TargetModel(BaseModel):
    """A part of a target's file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BearerToken(TargetModel):
    """A token that stands in a file."""

    kind: Literal["bearer"]
    token_file: SecretFile


class BasicAuth(TargetModel):
    """A user, and the file of the password."""

    kind: Literal["basic"]
    user: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^:\s]+$")]
    password_file: SecretFile


class SecretHeader(TargetModel):
    """A header whose value stands in a file."""

    kind: Literal["header"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,60}$", description="the name of a header")]
    value_file: SecretFile


class ClientCredentials(TargetModel):
    """OAuth 2 client credentials (RFC 6749, 4.4); `client_file` holds `name:secret`."""

    kind: Literal["oauth2"]
    token_url: Url
    client_file: SecretFile
    scopes: Annotated[tuple[Word, ...], Field(max_length=20)] = ()


Auth: TypeAlias = Annotated[
    BearerToken | BasicAuth | SecretHeader | ClientCredentials, Field(discriminator="kind")
]


class Server(TargetModel):
    """The address of a server, with a path prefix if it has one, and how to show who asks."""

    url: Url
    auth: Auth | None = None
    ca_file: SecretFile | None = Field(default=None, description="a file of certificates in PEM form")


class HttpRequest(Server):
    """One HTTP request; `json` is sent as its body."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[str, Word], Field(max_length=20)] = Field(default_factory=dict)
    body: JsonValue = Field(default=None, alias="json")


class GoodAnswer(TargetModel):
    """What a good answer is: one of `status`, or exit code 0 of a command, and these fields of its JSON.

    A field is a path with dots, such as `result.id`; its value has to be equal.
    """

    status: Annotated[tuple[Status, ...], Field(min_length=1)] = (200, 201, 202, 204)
    fields: Annotated[dict[Word, str | int | float | bool | None], Field(max_length=20)] = Field(
        default_factory=dict
    )


class Call(TargetModel):
    """One thing that is asked: a `request` or a `command`, never both."""

    request: HttpRequest | None = None
    command: Annotated[
        tuple[Word, ...] | None, Field(min_length=1, max_length=100, description="a list of words")
    ] = None
    good: GoodAnswer = GoodAnswer()
    timeout_seconds: Limit = 10

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.request is None) == (self.command is None):
            what = "needs a `request` or a `command`, and not both"
            raise DeclarationIssues([DeclarationIssue((), what, "one of them")])
        return self

    @property
    def asked(self) -> JsonValue:
        """Return everything that may hold placeholders."""
        if self.request is not None:
            return self.request.model_dump(mode="json", by_alias=True)
        return list(self.command or ())
