"""Which processes tell their metrics as one."""

import pytest

from mmtrace._metering import _group
from mmtrace.settings import Settings

RESOURCE = {"service.name": "shop", "service.instance.id": "1", "process.pid": 1, "process.runtime.name": "cpython"}
SETTINGS = {"service": "shop", "metrics_exporter": "otlp,prometheus"}


def group(resource=(), *, pushes=True, environ=(), **settings):
    return _group(
        Settings.load(dict(environ), **{**SETTINGS, **settings}), {**RESOURCE, **dict(resource)}, pushes=pushes
    )


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"resource": {"service.instance.id": "2", "process.pid": 2, "process.command": "x"}},
        {"schedule_delay": 9, "sampler": "always_off", "traces_exporter": "none"},
    ],
)
def test_processes_of_one_service_with_one_port_and_one_receiver_are_one(other):
    assert group(**other) == group()


@pytest.mark.parametrize(
    "other",
    [
        {"service": "bakery"},
        {"resource": {"service.version": "2"}},
        {"resource": {"deployment.environment.name": "test"}},
        {"environ": {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=mine"}},
        {"prometheus_port": 9465},
        {"prometheus_host": "0.0.0.0"},
        {"metrics_exporter": "otlp"},
        {"endpoint": "http://127.0.0.1:1"},
        {"histogram_aggregation": "base2_exponential_bucket_histogram"},
    ],
)
def test_other_services_replicas_with_a_port_of_their_own_and_other_receivers_are_apart(other):
    assert group(**other) != group()


def test_who_is_only_scraped_is_one_whatever_receiver_of_spans_there_is():
    scraped = {"metrics_exporter": "prometheus", "pushes": False}
    assert group(**scraped, endpoint="http://127.0.0.1:1") == group(**scraped)


def test_containers_in_networks_of_their_own_are_apart(monkeypatch, tmp_path):
    here = group()
    link = tmp_path / "net"
    link.symlink_to("net:[1]")
    monkeypatch.setattr("mmtrace.metrics.shared.naming._NETWORK", link)
    assert group() != here


def test_the_name_of_a_group_is_a_name_of_a_folder_and_keeps_no_secret():
    name = group(service="a/b\x00ü" * 40, endpoint="http://user:secret@host/")
    assert name.isascii()
    assert not set(name) & set("/\x00.")
    assert len(name) < 100
    assert "secret" not in name
