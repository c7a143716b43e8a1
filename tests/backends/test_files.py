"""Every file of collector-config/ is loaded by its own program; one that none can load says so in the README."""

import fnmatch
import os
import subprocess

import kubernetes_validate
import pytest
import yaml

from backends.programs import program
from backends.running import CONFIG, executable

FILES = sorted(
    path.relative_to(CONFIG).as_posix() for path in CONFIG.rglob("*") if path.is_file() and path.suffix != ".pyc"
)
NEWER_JAEGER = ("ttl",)
"""Options of ClickHouse that came after the Jaeger that is built here."""


def accepts(command, **more):
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def collector(*files):
    arguments = [word for file in files for word in ("--config", CONFIG / file)]
    accepts([executable("otelcol"), "validate", *arguments], env={**os.environ, "NODE_NAME": "node-1"})


def over_agent(file):
    collector("collector-agent.yaml", file)


def over_gateway(file):
    collector("collector-gateway.yaml", file)


def jaeger(file):
    accepts([executable("jaeger"), "validate", "--config", CONFIG / file])


def newer_jaeger(file, folder):
    config = yaml.safe_load((CONFIG / file).read_text())
    for option in NEWER_JAEGER:
        del config["extensions"]["jaeger_storage"]["backends"]["clickhouse"]["clickhouse"][option]
    (folder / file).write_text(yaml.safe_dump(config))
    jaeger(folder / file)


def prometheus(file):
    accepts([executable("promtool"), "check", "config", CONFIG / file])


def rules(file):
    accepts([executable("promtool"), "check", "rules", "--lint=all", "--lint-fatal", CONFIG / file])


def rule_tests(file):
    accepts([executable("promtool"), "test", "rules", CONFIG / file])


def alertmanager(file):
    accepts([executable("amtool"), "check-config", CONFIG / file])


def loki(file):
    accepts([executable("loki"), f"-config.file={CONFIG / file}", "-verify-config"])


def kustomize(file):
    for manifest in yaml.safe_load_all(accepts([executable("kustomize"), "build", (CONFIG / file).parent])):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def builder(file):
    components = yaml.safe_load(accepts([executable("otelcol"), "components"]))
    assert components["buildinfo"]["version"] == program("otelcol").version
    listed = yaml.safe_load((CONFIG / file).read_text())
    kinds = ("receivers", "processors", "exporters", "connectors", "extensions")
    assert {kind: len(components[kind]) for kind in kinds} == {kind: len(listed[kind]) for kind in kinds}


CHECKS = {
    "builder.yaml": builder,
    "collector-*.yaml": collector,
    "agent-*.yaml": over_agent,
    "gateway-*.yaml": over_gateway,
    "jaeger-all-in-one.yaml": jaeger,
    "jaeger-opensearch.yaml": jaeger,
    "prometheus*.yml": prometheus,
    "rules/*.rules.yml": rules,
    "rules/tests/*.test.yml": rule_tests,
    "alertmanager.yml": alertmanager,
    "loki.yaml": loki,
    "*kustomization.yaml": kustomize,
}
"""Which program checks which file; the others are checked by tests of their own, or named as unchecked."""
ELSEWHERE = ("README.md", "jaeger-clickhouse.yaml", "docker-compose*.yaml", "kubernetes/*")
"""Checked by tests of their own: here, and in tests/rules/test_shipped_files.py by their schemas."""
KUBERNETES = "1.34"


def check_of(file):
    return next((check for pattern, check in CHECKS.items() if fnmatch.fnmatch(file, pattern)), None)


@pytest.mark.parametrize("file", [file for file in FILES if check_of(file)])
def test_its_own_program_accepts(file):
    check_of(file)(file)


def test_the_built_jaeger_accepts_the_file_of_a_newer_one_but_for_what_is_new(tmp_path):
    newer_jaeger("jaeger-clickhouse.yaml", tmp_path)


def test_a_file_that_no_program_checks_is_named_in_the_readme():
    _, _, unchecked = (CONFIG / "README.md").read_text().partition("## Not checked by a program")
    named = (*ELSEWHERE, *unchecked.split("`")[1::2])
    orphans = [file for file in FILES if not check_of(file)]
    assert [file for file in orphans if not any(fnmatch.fnmatch(file, name) for name in named)] == []


@pytest.mark.parametrize("name", ["otelcol", "jaeger", "prometheus", "alertmanager"])
def test_the_containers_are_of_the_version_that_is_tested(name):
    described = yaml.safe_load((CONFIG / "docker-compose.yaml").read_text())["services"]
    service = {"otelcol": "gateway"}.get(name, name)
    _, _, tag = described[service]["image"].partition(":")
    assert tag.removeprefix("v") == program(name).version


def test_every_combination_of_the_gateways_files_is_accepted():
    collector("collector-gateway.yaml", "gateway-keep-all.yaml", "gateway-scrape.yaml", "gateway-kafka.yaml")
