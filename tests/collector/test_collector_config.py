"""Manifest and configuration match, and no pipeline bypasses redaction."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KINDS = ("receivers", "processors", "exporters")


def manifest() -> dict[str, Any]:
    """Return the builder's manifest."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "collector/builder.yaml").read_text(encoding="utf-8"))
    return loaded


def built(kind: str) -> list[str]:
    """Return the types of one kind that the manifest builds, without underscores, as in module paths."""
    modules = [each["gomod"].split()[0].rsplit("/", 1)[1] for each in manifest()[kind]]
    return sorted(module.removesuffix(kind[:-1]) for module in modules)


def test_the_manifest_builds_exactly_what_the_configuration_uses(config: dict[str, Any]) -> None:
    """No component or provider is missing, and none is unused."""
    for kind in KINDS:
        types = {name.partition("/")[0].replace("_", "") for name in config[kind]}
        assert built(kind) == sorted(types), kind
        used = {name for pipeline in config["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind]), kind
    assert set(config) == {*KINDS, "service"}
    text = (ROOT / "collector/config.yaml").read_text(encoding="utf-8")
    providers = [each["gomod"].split()[0].rsplit("/", 1)[1] for each in manifest()["providers"]]
    named = {f"{scheme}provider" for scheme in re.findall(r"\$\{([a-z]+):", text)}
    assert sorted(providers) == sorted({*named, "fileprovider"})
    assert set(manifest()) == {*KINDS, "providers", "dist"}


def test_everything_is_of_one_release() -> None:
    """The builder refuses mixed releases; stable modules have their own numbers."""
    version = manifest()["dist"]["version"]
    minor = int(version.split(".")[1])
    for kind in KINDS:
        assert {each["gomod"].split()[1] for each in manifest()[kind]} == {f"v{version}"}
    assert {each["gomod"].split()[1] for each in manifest()["providers"]} == {f"v1.{minor - 94}.0"}


def test_every_pipeline_protects_itself_then_redacts(config: dict[str, Any]) -> None:
    """The memory limiter comes first, redaction before anything that waits, and batching last."""
    assert set(config["service"]["pipelines"]) == {"metrics", "traces", "logs"}
    for name, pipeline in config["service"]["pipelines"].items():
        order = pipeline["processors"]
        assert order[:3] == ["memory_limiter", "transform/gather", "redaction"], name
        assert order[-1] == "batch"
        assert ("tail_sampling" in order) == (name == "traces")
        # What was gathered is put back wherever something was gathered by name.
        assert ("transform/scatter" in order) == (name != "metrics")
    for gather in ("transform/gather", "transform/scatter"):
        assert config["processors"][gather]["error_mode"] == "propagate", "unredacted is worse than lost"
    assert config["processors"]["redaction"]["redact_all_types"]
    assert config["processors"]["redaction"]["summary"] == "silent"


def test_what_is_gathered_is_scattered(config: dict[str, Any]) -> None:
    """Each field that was moved to an attribute returns to its place, and the attribute is removed."""

    def moved(name: str, pattern: str) -> set[tuple[str, ...]]:
        found = set()
        for signal in ("trace_statements", "log_statements"):
            for group in config["processors"][name].get(signal, ()):
                for statement in group["statements"]:
                    if match := re.match(pattern, statement):
                        found.add((signal, *match.groups()))
        return found

    attribute = r'(\w+)\.attributes\["moneypath\.gathered\.(\w+)"\]'
    gathered = moved("transform/gather", rf"set\({attribute}, (\S+)\)")
    scattered = moved("transform/scatter", rf"set\((\S+), {attribute}\)")
    assert gathered == {(signal, context, key, field) for signal, field, context, key in scattered}
    assert len(gathered) == 10
    cleaned = moved("transform/scatter", r'delete_matching_keys\((\w+)\.attributes, "\^moneypath')
    assert cleaned == {(signal, context) for signal, context, *_ in gathered}


def test_sampling_keeps_what_is_promised(config: dict[str, Any]) -> None:
    """Error, slow and indeterminate traces, and a tenth of the rest. The real one is tested end to end."""
    policies = {each["name"]: each for each in config["processors"]["tail_sampling"]["policies"]}
    assert set(policies) == {"errors", "slow", "indeterminate", "rest"}
    assert policies["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["slow"]["latency"] == {"threshold_ms": 1000}
    assert policies["indeterminate"]["string_attribute"] == {
        "key": "moneypath.outcome",
        "values": ["indeterminate"],
    }
    assert policies["rest"]["probabilistic"] == {"sampling_percentage": 10}


def test_waiting_is_bounded(config: dict[str, Any]) -> None:
    """The queue is limited in spans, retries have no time limit, and senders do not wait."""
    backend = config["exporters"]["otlp_http/backend"]
    assert backend["sending_queue"]["sizer"] == "items"
    assert 0 < backend["sending_queue"]["queue_size"] <= 100_000
    assert "block_on_overflow" not in backend["sending_queue"]
    assert backend["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert backend["timeout"] == "10s"


def test_patterns_are_of_the_collectors_dialect(
    patterns: Callable[[str], list[re.Pattern[str]]],
) -> None:
    """RE2 has no look-around, back-references or atomic groups; each pattern compiles in Python too."""
    for key in ("allowed_values", "blocked_values", "blocked_key_patterns"):
        for pattern in patterns(key):
            assert not re.search(r"\(\?(?![:i])|\\[1-9ZAz]|[+*?}]\+", pattern.pattern), pattern.pattern
