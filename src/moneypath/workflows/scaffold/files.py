"""The files of a fresh project, filled with what its team answered."""

from datetime import date
from pathlib import PurePosixPath
from typing import Final

from moneypath.path.defaults import camel_case
from moneypath.workflows.scaffold.answers import Answers, Ci, LedgerKind, PathOperation, Titled
from moneypath.workflows.scaffold.filling import fill, quoted, word, words

GITHUB_FILE: Final = ".github/workflows/moneypath.yml"
GITLAB_FILE: Final = ".gitlab/moneypath.yml"
# With one provider there is none to send payments to instead.
LEAST_TO_DRAIN: Final = 2
UPSTREAM: Final = Titled("upstream")
"""What a fault acts on where no provider is declared."""


def project_files(answers: Answers, *, today: date, subfolder: PurePosixPath) -> dict[str, str]:
    """Return each file by its path in the project.

    `today` is when its runbooks were read last; `subfolder` is where the project stands in its repository,
    `.` at the root of it, since a CI system begins there.
    """
    first = answers.operations[0]
    common = _common(answers, today)
    files = {
        "moneypath.yaml": fill("moneypath.yaml", common | _declaration(answers)),
        f"targets/{answers.service}.yaml": fill("target.yaml", common | _target(answers, common)),
        "targets/break-provider.sh": fill("break-provider.sh", common),
        "runbooks/service-not-seen.md": fill("runbook-unseen.md", common),
        f"drills/{drill_name(answers)}.yaml": fill("drill.yaml", common | _drill(answers, first)),
        "loadtests/gate.yaml": fill("gate.yaml", common | _gate(answers)),
        "secrets/.gitignore": fill("secrets.gitignore", {}),
    }
    runbook = "runbook-drain.md" if _drains(answers) else "runbook-fallback.md"
    for operation in answers.operations:
        text = fill(runbook, common | _failing(answers, operation))
        files[f"runbooks/{runbook_name(operation)}.md"] = text
    if answers.ledger is LedgerKind.POSTGRESQL:
        files["witnesses.yaml"] = fill("witnesses.yaml", common)
        files["sql/ledger.sql"] = fill("ledger.sql", common)
        files["sql/provider_book.sql"] = fill("provider_book.sql", common)
    return files | _ci(answers, subfolder)


def drill_name(answers: Answers) -> str:
    """Return the name of the first drill, without `.yaml`."""
    return f"drill-001-{runbook_name(answers.operations[0])}"


def runbook_name(operation: PathOperation) -> str:
    """Return the name of the runbook of an operation, without `.md`."""
    return f"{operation.slug}-failing"


def _common(answers: Answers, today: date) -> dict[str, str]:
    """Return what several files have; plain ids in comments and queries, quoted ones in values."""
    informed = answers.roles[1:2]
    return {
        "name": quoted(answers.name),
        "service": answers.service,
        "environment": answers.environment,
        "job": answers.job,
        "prefix": answers.prefix,
        "today": today.isoformat(),
        "on_call": word(answers.on_call),
        "currencies": ", ".join(f"{word(code)}: {decimals}" for code, decimals in answers.currencies),
        "runbook_roles": _lines(
            f"  {word(answers.on_call)}: {{page: true, ack: 5m}}",
            *(f"  {word(role.id)}: {{page: false}}" for role in informed),
        ),
        "first_hour": _lines(
            f'  - {{by: 5m, role: {word(answers.on_call)}, do: "Take the page, begin at step 1.", '
            'evidence: "acknowledgement"}',
            *(
                f'  - {{by: 15m, role: {word(role.id)}, do: "Tell who is affected; again when it is over.", '
                'evidence: "sent message"}'
                for role in informed
            ),
        ),
        "comms": ", ".join(
            f'{{to: "who is affected", role: {word(role.id)}, by: 15m, '
            'say: "Some payments fail since HH:MM. Do not repeat what has no answer."}'
            for role in informed
        ),
    }


def _declaration(answers: Answers) -> dict[str, str]:
    if answers.providers:
        providers = _lines(
            "# Who moves the money. Objectives keep them apart, and a page names the one that fails.",
            "providers:",
            *(f"  - {{id: {word(each.id)}{_titled(each)}}}" for each in answers.providers),
        )
    else:
        providers = _lines(
            "# Who moves the money. Without any, all payments count together, and a page names nobody.",
            "# providers:",
            '#   - {id: bank_one, title: "Bank One"}',
        )
    own = [each.id for each in answers.operations if each.is_own]
    return {
        "reporting_currency": word(answers.currencies[0][0]),
        "roles": _lines(
            *(
                f"  {word(role.id)}: {{title: {quoted(role.title or _words(role.id))}"
                f"{'' if place == 0 else ', paged: false'}}}"
                for place, role in enumerate(answers.roles)
            )
        ),
        "providers": providers,
        "slos": _lines(*(_objectives_text(each) for each in answers.operations)),
        "own_operations": f"  operations: [{words(own)}]" if own else "",
        "prefix_id": word(answers.prefix),
        "job": word(answers.job),
    }


def _objectives_text(operation: PathOperation) -> str:
    availability, latency = _objectives(operation)
    return fill(
        "slo.yaml",
        {
            "availability": availability,
            "latency": latency,
            "operation": word(operation.id),
            "runbook": runbook_name(operation),
        },
    ).rstrip("\n")


def _objectives(operation: PathOperation) -> tuple[str, str]:
    return f"{operation.slug}-availability", f"{operation.slug}-latency"


def _all_objectives(answers: Answers) -> str:
    return ", ".join(name for each in answers.operations for name in _objectives(each))


def _drains(answers: Answers) -> bool:
    return len(answers.providers) >= LEAST_TO_DRAIN


def _target(answers: Answers, common: dict[str, str]) -> dict[str, str]:
    places = answers.providers or (UPSTREAM,)
    operation = answers.operations[0].id
    actions = fill(
        "actions-drain.yaml" if _drains(answers) else "actions-fallback.yaml",
        {"first_provider": word(places[0].id), "operation": operation, "environment": common["environment"]},
    )
    witnesses = (
        "# Ledger and provider's book: a drill and the gate end with their audit.\n"
        "witnesses: ../witnesses.yaml"
        if answers.ledger is LedgerKind.POSTGRESQL
        else "# Ledger, provider's book and answers: nobody knows whether the money is whole without them.\n"
        '# The guide "Audit your ledger" says how they are written.\n'
        "# witnesses: ../witnesses.yaml"
    )
    return {
        "service_id": word(answers.service),
        "environment_id": word(answers.environment),
        "drillable": "true" if answers.is_drillable else "false",
        "service_url": quoted(answers.url),
        "places": _lines(*(f"  {word(each.id)}: {{proxy: {word(each.id)}}}" for each in places)),
        "place_ids": words(each.id for each in places),
        "first_place": word(places[0].id),
        "operation": operation,
        "operation_id": word(operation),
        "currency": word(answers.currencies[0][0]),
        "actions": actions.rstrip("\n"),
        "witnesses": witnesses,
    }


def _failing(answers: Answers, operation: PathOperation) -> dict[str, str]:
    is_first = operation == answers.operations[0]
    return {
        "runbook": runbook_name(operation),
        "subject": operation.subject,
        "stem": operation.stem,
        "operation": operation.id,
        "triggers": ", ".join(_alerts(answers, operation)),
        "drills": drill_name(answers) if is_first else "",
    }


def _alerts(answers: Answers, operation: PathOperation) -> tuple[str, str, str]:
    """Return the alerts of an operation: down, its budget burning, and slow."""
    stem = f"{answers.prefix}{camel_case(operation.stem)}"
    return f"{stem}HardDown", f"{stem}BudgetBurn", f"{stem}LatencyBurn"


def _drill(answers: Answers, first: PathOperation) -> dict[str, str]:
    alerts = [name for each in answers.operations for name in _alerts(answers, each)]
    hard_down, *others = alerts
    provider = answers.providers[0].id if answers.providers else ""
    abort = ""
    if _drains(answers):
        abort = _lines(
            "  abort_if:",
            "    - id: another-provider-fails-too",
            f'      query: provider:{first.stem}_bad:ratio_rate5m{{provider="{answers.providers[1].id}"}}',
            '      expect: {any: "> 0.2"}',
        )
    is_known = answers.ledger is not LedgerKind.NONE
    return {
        "drill": drill_name(answers),
        "subject": first.subject,
        "runbook": runbook_name(first),
        "operation": first.id,
        "stem": first.stem,
        "abort_if": abort,
        "place": word(provider or UPSTREAM.id),
        "hard_down": hard_down,
        "alert_labels": f", labels: {{provider: {word(provider)}}}" if provider else "",
        "allowed_alerts": _lines(
            *(f"    - {{name: {name}, pages: [{word(answers.on_call)}]}}" for name in others)
        ),
        "alert_budget": str(len(alerts)),
        "objectives": _all_objectives(answers),
        "ledger_truth": "  ledger_truth: whole"
        if is_known
        else "  # `whole` once the target names its witnesses.\n  ledger_truth: unknown",
    }


def _gate(answers: Answers) -> dict[str, str]:
    return {"title": quoted(f"Gate of {answers.service}"), "objectives": _all_objectives(answers)}


def _ci(answers: Answers, subfolder: PurePosixPath) -> dict[str, str]:
    folder = quoted(str(subfolder))
    if answers.ci is Ci.GITHUB:
        return {GITHUB_FILE: fill("github.yml", {"working_directory": folder})}
    if answers.ci is Ci.GITLAB:
        include = str(subfolder / GITLAB_FILE)
        return {GITLAB_FILE: fill("gitlab.yml", {"working_directory": folder, "include": include})}
    return {}


def _titled(part: Titled) -> str:
    return f", title: {quoted(part.title)}" if part.title else ""


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _lines(*lines: str) -> str:
    return "\n".join(lines)
