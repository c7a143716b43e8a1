"""A Celery worker that never imports mmtrace, under `mmtrace run`: its processes end by `os._exit`."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))
SERVICES = Path(__file__).parent / "services"


@pytest.fixture
def environment(receiver, graph, tmp_path):
    more = {"GRAPH": graph, "FOLDER": str(tmp_path), "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    return {**receiver.environment, **more}


def test_a_worker_that_is_stopped_right_after_its_last_task_has_sent_everything(receiver, environment, tmp_path):
    celery = [MMTRACE, "run", "celery", "-A", "tasks", "worker", "-c", "1", "--loglevel", "ERROR", "-P", "prefork"]
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(celery, env=environment, cwd=SERVICES, stdout=log, stderr=log)
    try:
        client = [sys.executable, "tasks.py"]
        done = subprocess.run(client, env=environment, cwd=SERVICES, capture_output=True, text=True, timeout=300)
        assert done.stdout == "[[-0.0], [-1.0], [-2.0]]\n", done.stderr + (tmp_path / "log").read_text()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(300) == 0
    finally:
        worker.kill()
        worker.wait()
    assert [span.name for span in receiver.spans()] == ["infer negative"] * 3
