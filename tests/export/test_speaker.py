"""Who says what the processes of a service measured; each `Speaker` stands for one process of it."""

import http.client

import pytest

from asking import answered
from mmtrace.errors import ConfigurationError
from mmtrace.export.prometheus import PrometheusServer
from mmtrace.export.speaker import Speaker
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.shared.folder import Folder
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.recording import guard
from mmtrace.spans import Resource
from mmtrace.transport import FlushResult
from ports import free_port


class Process:
    """What a process of the service has: its own counts, and its speaker."""

    def __init__(self, folder, port=None, metrics=None):
        self.metrics = metrics or ModelMetrics()
        own = Snapshots(self.metrics, resource=lambda: Resource({"service.name": "shop", "process.pid": id(self)}))
        listen = None if port is None else lambda source: PrometheusServer(source, "127.0.0.1", port)
        self.speaker = Speaker(own, Folder(str(folder), "shop-1"), listen=listen)

    def call(self, times=1):
        for _ in range(times):
            series = self.metrics.series("m")
            series.begin()
            series.end("ok", "", 0.1)

    def end(self):
        self.speaker.hand_over(FlushResult)
        self.speaker.close()


@pytest.fixture
def process(tmp_path):
    begun = []

    def begin(*given):
        begun.append(Process(tmp_path, *given))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


@pytest.fixture
def port():
    return free_port()


def scraped(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return calls(connection.getresponse().read().decode())
    finally:
        connection.close()


def calls(text):
    (line,) = [line for line in text.splitlines() if line.startswith("mmtrace_model_call_duration_seconds_count")]
    return float(line.rsplit(" ", 1)[1])


def test_the_first_process_answers_for_all(process, port):
    first, second = process(port), process(port)
    first.speaker.open()
    second.speaker.open()
    first.call(1)
    second.call(10)
    second.speaker.publish()
    assert scraped(port) == 11


def test_what_others_counted_is_there_without_their_doing(process, port):
    first, second = process(port), process(port)
    first.speaker.open()
    second.speaker.open()
    first.call(1)
    second.call(10)
    answered(lambda: scraped(port), 11, patience=30.0)


def test_when_the_owner_of_the_port_ends_another_process_answers(process, port):
    first, second = process(port), process(port)
    first.speaker.open()
    second.speaker.open()
    first.call(1)
    second.call(10)
    first.end()
    answered(lambda: scraped(port), 11, patience=30.0)


def test_a_port_of_a_foreign_program_is_an_error_that_says_so(process):
    foreign = PrometheusServer(None, "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigurationError, match=f"port {foreign.port}"):
            process(foreign.port).speaker.open()
    finally:
        foreign.close()


def test_another_configuration_of_the_process_gets_the_port_and_counts_no_call_twice(process, port):
    first = process(port)
    first.speaker.open()
    first.call(1)
    assert scraped(port) == 1
    first.speaker.step_back()
    second = process(port, first.metrics)
    second.speaker.open()
    second.call(1)
    assert scraped(port) == 2
    first.end()
    assert scraped(port) == 2


def test_a_folder_that_cannot_be_used_is_said_once_and_each_process_speaks_for_itself(tmp_path, port):
    (tmp_path / "file").write_text("")
    first, second = Process(tmp_path / "file", port), Process(tmp_path / "file")
    try:
        first.speaker.open()
        first.call(1)
        second.call(10)
        second.speaker.publish()
        assert scraped(port) == scraped(port) == 1
        assert guard.faults["metrics.shared"] > 1
        assert list(guard.faults) == ["metrics.shared"]
    finally:
        first.end()
        second.end()


def test_a_process_that_counted_nothing_leaves_no_trace(process, tmp_path):
    process().speaker.publish()
    assert not list(tmp_path.iterdir())


def test_who_ends_delivers_again_what_another_published_meanwhile(process):
    """The other one could not speak, because this one did, and has ended since."""
    first, second = process(), process()
    first.call(1)
    second.call(10)
    delivered = []

    def flush():
        first.speaker.collect()
        delivered.append(first.speaker._folder.claim())
        if len(delivered) == 1:
            second.speaker.publish()
            assert not second.speaker._folder.claim()
            second.end()
        return FlushResult(exported=1, waiting=1)

    assert first.speaker.hand_over(flush) == FlushResult(exported=2, waiting=1)
    assert delivered == [True, True]
