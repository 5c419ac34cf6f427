"""The options that seal evidence and that say what it is verified against."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from moneypath.incidents.timestamps import load_certificates
from moneypath.incidents.trusted_signers import load_trusted_signers
from moneypath.incidents.verification import References
from moneypath.workflows.evidence_sealing import SealPlan, prepare_seal

Command: TypeAlias = Callable[..., Any]
_FILE = click.Path(path_type=Path, dir_okay=False)

_SEALING = (
    click.option(
        "--signing-key",
        type=_FILE,
        envvar="MONEYPATH_SIGNING_KEY",
        show_envvar=True,
        help="Sign the evidence with this key: a PEM file of mode 0600, see `moneypath drill keygen`.",
    ),
    click.option(
        "--signer",
        metavar="NAME",
        envvar="MONEYPATH_SIGNER",
        show_envvar=True,
        help="Sign with a plug-in instead, such as a KMS: an entry point of the group moneypath.signers.",
    ),
    click.option(
        "--timestamp-url",
        metavar="URL",
        envvar="MONEYPATH_TIMESTAMP_URL",
        show_envvar=True,
        help="Have this RFC 3161 authority time-stamp the evidence.",
    ),
    click.option(
        "--anchor",
        type=_FILE,
        envvar="MONEYPATH_ANCHOR_FILE",
        show_envvar=True,
        help="Append the head of the event log to this file: at the start, and when the evidence is sealed.",
    ),
)
_REFERENCES = (
    click.option(
        "--trusted-signers",
        type=_FILE,
        envvar="MONEYPATH_TRUSTED_SIGNERS",
        show_envvar=True,
        help="YAML file of those who may sign, and when.",
    ),
    click.option("--require-signature", is_flag=True, help="Fail unless a trusted signer has signed."),
    click.option(
        "--tsa-certificate", type=_FILE, help="PEM file with the root of the time-stamping authority."
    ),
    click.option("--require-timestamp", is_flag=True, help="Fail unless that authority has time-stamped it."),
    click.option(
        "--anchor", type=_FILE, help="Anchor file that has to hold this bundle, and no other of its run."
    ),
    click.option(
        "--pager-record", type=_FILE, help="The pager's own pages.jsonl, held against the event log."
    ),
)


def seal_options(command: Command) -> Command:
    """Give a command the options that seal, as its argument `plan`."""

    @wraps(command)
    def with_plan(
        *args: Any,
        signing_key: Path | None,
        signer: str | None,
        timestamp_url: str | None,
        anchor: Path | None,
        **kwargs: Any,
    ) -> Any:
        return command(*args, plan=_plan(signing_key, signer, timestamp_url, anchor), **kwargs)

    return _decorated(with_plan, _SEALING)


def reference_options(command: Command) -> Command:
    """Give a command the options that verify, as its argument `references`."""

    @wraps(command)
    def with_references(
        *args: Any,
        trusted_signers: Path | None,
        require_signature: bool,
        tsa_certificate: Path | None,
        require_timestamp: bool,
        anchor: Path | None,
        pager_record: Path | None,
        **kwargs: Any,
    ) -> Any:
        if require_signature and trusted_signers is None:
            raise click.UsageError("--require-signature needs --trusted-signers: whose would count?")
        if require_timestamp and tsa_certificate is None:
            raise click.UsageError("--require-timestamp needs --tsa-certificate: whose time would count?")
        references = References(
            signers=load_trusted_signers(trusted_signers) if trusted_signers else None,
            roots=load_certificates(tsa_certificate) if tsa_certificate else (),
            anchor_file=anchor,
            pager_file=pager_record,
            require_signature=require_signature,
            require_timestamp=require_timestamp,
        )
        return command(*args, references=references, **kwargs)

    return _decorated(with_references, _REFERENCES)


def _plan(key: Path | None, plugin: str | None, url: str | None, anchor: Path | None) -> SealPlan:
    if key and plugin:
        raise click.UsageError("--signing-key and --signer exclude each other")
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--timestamp-url is {url}; allowed: an http:// or https:// address")
    return prepare_seal(key_file=key, plugin=plugin, timestamp_url=url, anchor_file=anchor)


def _decorated(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
