"""What is shipped for Grafana, Loki, Fluent Bit, Docker and Kubernetes: by the schema, where there is one, and by what
the files say of each other."""

import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from metric_names import unknown
from mmtrace.rules import Objectives, dashboards

CONFIG = Path(__file__).parents[2] / "collector-config"
COMPOSE = ["docker-compose.yaml", "docker-compose.production.yaml"]
KUBERNETES = sorted(
    path.relative_to(CONFIG).as_posix()
    for path in (CONFIG / "kubernetes").rglob("*.yaml")
    if path.name != "kustomization.yaml"
)
KUBERNETES_VERSION = "1.34"


def load(name):
    return yaml.safe_load((CONFIG / name).read_text())


def services(name):
    return load(name)["services"].items()


# --- Docker -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPOSE)
def test_the_compose_files_follow_the_schema_of_compose(name):
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", CONFIG / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", COMPOSE)
def test_every_image_has_a_version(name):
    for service, described in services(name):
        if "image" in described:
            assert re.search(r":v?\d+\.\d+\.\d+$", described["image"]), service


@pytest.mark.parametrize("name", COMPOSE)
def test_every_file_that_a_container_reads_is_there(name):
    for _, described in services(name):
        for volume in described.get("volumes", ()):
            source, _, *mode = volume.split(":")
            if source.startswith("./"):
                assert (CONFIG / source).exists(), volume
                assert mode == ["ro"]
            else:
                assert source in load(name).get("volumes", {}), volume


@pytest.mark.parametrize("name", COMPOSE)
def test_every_file_that_a_command_names_is_mounted_there(name):
    base = dict(services(COMPOSE[0]))
    for service, described in services(name):
        volumes = [*base.get(service, {}).get("volumes", ()), *described.get("volumes", ())]
        targets = [volume.split(":")[1] for volume in volumes]
        for word in described.get("command", ()):
            option, _, path = word.partition("=")
            if option.endswith(("config", "config.file")):
                assert path in targets, word


def test_ports_are_open_on_this_machine_only():
    for _, described in services(COMPOSE[0]):
        assert all(port.startswith("127.0.0.1:") for port in described.get("ports", ()))


def test_the_variables_of_fluent_bit_are_given():
    for name in ("collect", "deliver"):
        used = set(re.findall(r"\$\{(\w+)\}", (CONFIG / f"fluent-bit-{name}.yaml").read_text()))
        assert used == set(load(COMPOSE[0])["services"][f"fluent-bit-{name}"]["environment"])


# --- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KUBERNETES)
def test_every_manifest_follows_the_schema_of_kubernetes(name):
    for manifest in yaml.safe_load_all((CONFIG / name).read_text()):
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("name", ["kustomization.yaml", "kubernetes/example/kustomization.yaml"])
def test_every_file_that_a_kustomization_names_is_there(name):
    kustomization = load(name)
    named = [
        *kustomization["resources"],
        *(file for each in kustomization["configMapGenerator"] for file in each["files"]),
    ]
    assert [file for file in named if not (CONFIG / name).parent.joinpath(file).is_file()] == []


def test_the_collector_is_the_same_version_everywhere():
    image = load(COMPOSE[0])["services"]["agent"]["image"]
    assert image == load(COMPOSE[0])["services"]["gateway"]["image"]
    (pinned,) = load("kustomization.yaml")["images"]
    assert image == f"{pinned['name']}:{pinned['newTag']}"


def test_the_volumes_of_a_pod_are_config_maps_that_are_made():
    made = {each["name"] for name in ("kustomization.yaml", "kubernetes/example/kustomization.yaml")
            for each in load(name)["configMapGenerator"]}  # fmt: skip
    for name in KUBERNETES:
        for manifest in yaml.safe_load_all((CONFIG / name).read_text()):
            volumes = manifest.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", ())
            assert {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} <= made


# --- Grafana and Loki -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources():
    listed = load("grafana/provisioning/datasources/mmtrace.yaml")["datasources"]
    return {source["uid"]: source for source in listed}


def test_exemplars_traces_and_logs_lead_to_each_other(sources):
    (exemplar,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (exemplar["name"], exemplar["datasourceUid"]) == ("trace_id", "jaeger")
    (derived,) = sources["loki"]["jsonData"]["derivedFields"]
    assert (derived["matcherRegex"], derived["datasourceUid"]) == ("trace_id", "jaeger")
    assert sources["jaeger"]["jsonData"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert sources["jaeger"]["jsonData"]["tracesToMetrics"]["datasourceUid"] == "prometheus"


def test_the_queries_of_a_trace_are_promql_on_metrics_that_exist(sources):
    queries = [each["query"] for each in sources["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]]
    for query in queries:
        filled = query.replace("$$__tags", 'model="m"').replace("$$__rate_interval", "5m")
        assert "$" not in filled
        assert unknown(filled) == set()


def test_every_data_source_is_a_service_of_the_compose_file(sources):
    names = dict(services(COMPOSE[0]))
    for source in sources.values():
        assert re.fullmatch(r"http://(\w+):\d+", source["url"])[1] in names


def test_the_dashboards_lie_where_grafana_looks():
    (provider,) = load("grafana/provisioning/dashboards/mmtrace.yaml")["providers"]
    volumes = load(COMPOSE[0])["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in volumes
    assert {path.name for path in (CONFIG / "grafana/dashboards").iterdir()} == set(dashboards(Objectives()))


def test_logs_have_the_same_names_by_otlp_and_by_fluent_bit(sources):
    (loki,) = load("fluent-bit-deliver.yaml")["pipeline"]["outputs"]
    query = sources["jaeger"]["jsonData"]["tracesToLogsV2"]["query"]
    label, name = re.match(r"\{(\w+)=.*\| (\w+) = ", query).groups()
    assert f"{label}=$service" in loki["labels"]
    assert f"{name}=$trace_id" in loki["structured_metadata"]
