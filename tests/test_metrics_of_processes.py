"""What the processes of a service measured is told once and right, however they come and go; all are real ones."""

import os
import subprocess
import sys
import textwrap
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asking import answered
from ports import free_port

DURATION = "mmtrace.model.call.duration"
COUNT = "mmtrace_model_call_duration_seconds_count"

POOL = """
import multiprocessing, os, sys, urllib.request
from concurrent.futures import ProcessPoolExecutor
import mmtrace

def work(number):
    with mmtrace.model_call("m"):
        pass
    return os.getpid()

if __name__ == "__main__":
    mmtrace.configure(service="pool")
    mmtrace.instrument()
    work(0)
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(work, range(20)))
    for number in range(3):
        process = context.Process(target=work, args=(number,))
        process.start()
        process.join()
    port = os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"]
    print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
"""

TASK = """
import mmtrace
mmtrace.configure(service="tasks")
with mmtrace.model_call("m"):
    pass
"""


@pytest.fixture
def port():
    return free_port()


def run(program, receiver, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(
        command, env={**receiver.environment, **environment}, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def counted(page):
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(COUNT))


def pushed(receiver):
    """Who pushed, since when, and how many calls: in the order of arrival."""
    for process, metric in receiver.metrics():
        for point in metric.histogram.data_points if metric.name == DURATION else ():
            yield process, point.start_time_unix_nano, point.count


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_and_processes_that_live_for_one_task_are_all_in_the_page(receiver, port, tmp_path, method):
    program = tmp_path / "pool.py"
    program.write_text(POOL)
    environment = {
        **receiver.environment,
        "OTEL_METRICS_EXPORTER": "otlp,prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }
    command = [sys.executable, str(program), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert counted(done.stdout) == 24
    assert list(pushed(receiver))[-1][2] == 24


def test_processes_that_come_and_go_push_one_counter_that_goes_on(receiver):
    for _ in range(4):
        run(TASK, receiver)
    told = list(pushed(receiver))
    assert [count for _, _, count in told] == [1, 2, 3, 4]
    assert len({(process, start) for process, start, _ in told}) == 1


def test_processes_that_overlap_push_one_counter_that_never_falls(receiver):
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda _: run(TASK, receiver), range(8)))
    told = list(pushed(receiver))
    counts = [count for _, _, count in sorted(told, key=lambda one: one[2])]
    assert counts[-1] == 8
    assert len({(process, start) for process, start, _ in told}) == 1


def test_growth_is_pushed_by_each_process_for_itself(receiver):
    for _ in range(3):
        run(TASK, receiver, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    told = list(pushed(receiver))
    assert [count for _, _, count in told] == [1, 1, 1]
    assert len({process for process, _, _ in told}) == 3


def test_where_sharing_is_off_each_process_speaks_for_itself(receiver):
    for _ in range(2):
        run(TASK, receiver, MMTRACE_METRICS_SHARED="false")
    told = list(pushed(receiver))
    assert [count for _, _, count in told] == [1, 1]
    assert len({process for process, _, _ in told}) == 2
    assert not Path(os.environ["MMTRACE_METRICS_DIR"]).exists()


def test_where_the_folder_cannot_be_used_that_is_said_once_and_each_process_speaks_for_itself(receiver, tmp_path):
    (tmp_path / "file").write_text("")
    for _ in range(2):
        command = [sys.executable, "-c", TASK]
        environment = {**receiver.environment, "MMTRACE_METRICS_DIR": str(tmp_path / "file")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0
        assert done.stderr.count("MMTRACE_METRICS_DIR") == 1
        assert "Traceback" not in done.stderr
    assert [count for _, _, count in pushed(receiver)] == [1, 1]


def test_a_child_does_not_count_what_its_parent_counted_through_the_api(receiver):
    run(
        """
        import os, mmtrace
        from opentelemetry import metrics
        mmtrace.configure(service="parent")
        counter = metrics.get_meter("app").create_counter("documents")
        histogram = metrics.get_meter("app").create_histogram("sizes")
        counter.add(10)
        histogram.record(1)
        pid = os.fork()
        if pid == 0:
            counter.add(1)
            histogram.record(1)
            mmtrace.shutdown()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        receiver,
    )
    counts = [metric.sum.data_points[0].as_int for _, metric in receiver.metrics() if metric.name == "documents"]
    sizes = [metric.histogram.data_points[0].count for _, metric in receiver.metrics() if metric.name == "sizes"]
    assert (counts[-1], sizes[-1]) == (11, 2)


def test_a_process_that_is_killed_counts_with_its_last_snapshot(receiver, port):
    """It is a second old at most; the process that answers outlives it."""
    out = run(
        """
        import os, signal, sys, time, urllib.request, mmtrace
        from pathlib import Path

        def count():
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            lines = [line for line in page.splitlines() if "model_call_duration_seconds_count" in line]
            return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

        port = int(sys.argv[1])
        mmtrace.configure(metrics_exporter="prometheus", prometheus_port=port, prometheus_host="127.0.0.1")
        pid = os.fork()
        if pid == 0:
            with mmtrace.model_call("m"):
                pass
            time.sleep(60)
        deadline = time.monotonic() + 300
        while count() < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print(count(), count())
        """,
        receiver,
        str(port),
    )
    assert out == "1.0 1.0\n"


def test_when_the_owner_of_the_port_is_killed_another_process_answers_within_seconds(receiver, port):
    program = """
    import sys, mmtrace
    mmtrace.configure(metrics_exporter="prometheus", prometheus_port=int(sys.argv[1]), prometheus_host="127.0.0.1")
    with mmtrace.model_call("m"):
        pass
    mmtrace.flush()
    print("ready", flush=True)
    sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, env=receiver.environment, **pipes) as owner,
        subprocess.Popen(command, env=receiver.environment, **pipes) as waiting,
    ):
        try:
            assert [process.stdout.readline() for process in (owner, waiting)] == ["ready\n"] * 2
            assert count_at(port) == 2
            first = owner if owns(owner, port) else waiting
            first.kill()
            first.wait()
            assert answered(lambda: count_at(port)) == 2
        finally:
            owner.kill()
            waiting.kill()


def owns(process, port):
    """Whether the process listens on the port: its file is among those that it has open."""
    hexadecimal = f":{port:04X}"
    with Path("/proc/net/tcp").open() as table:
        inodes = {
            line.split()[9] for line in table if line.split()[1].endswith(hexadecimal) and line.split()[3] == "0A"
        }
    files = {os.readlink(file) for file in Path(f"/proc/{process.pid}/fd").iterdir()}  # noqa: PTH115 - not a path
    return any(f"socket:[{inode}]" in files for inode in inodes)


def count_at(port):
    return counted(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode())


def test_the_metrics_can_be_mounted_in_a_server_of_ones_own_before_it_is_configured(receiver):
    out = run(
        """
        import asyncio
        import mmtrace
        from mmtrace import metrics_app

        def wsgi():
            begun = []
            body = b"".join(metrics_app.wsgi({"REQUEST_METHOD": "GET"}, lambda *given: begun.append(given)))
            print(begun[0][0], b"mmtrace_model_call_duration" in body)

        async def asgi():
            sent = []
            async def send(message):
                sent.append(message)
            await metrics_app.asgi({"type": "http", "method": "GET", "headers": []}, None, send)
            print(sent[0]["status"], b"mmtrace_model_call_duration" in sent[1]["body"])

        wsgi()
        asyncio.run(asgi())
        mmtrace.configure(metrics_exporter="app")
        with mmtrace.model_call("m"):
            pass
        wsgi()
        asyncio.run(asgi())
        """,
        receiver,
    )
    assert out == "503 Service Unavailable False\n503 False\n200 OK True\n200 True\n"
    assert list(pushed(receiver)) == []
