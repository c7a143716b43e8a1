"""A whole system of services under `mmtrace run`, asked, and stopped right after its last answer."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from mmtrace.spans import Trace
from ports import free_port
from receiver import Receiver

SERVICES = Path(__file__).parent / "services"
MMTRACE = str(Path(sys.executable).with_name("mmtrace"))
PORTS = ("GATEWAY_PORT", "CLASSIFIER_PORT", "EMBEDDER_PORT", "REDIS_PORT")


class System:
    """Processes that share ports, a folder for their logs, and a receiver."""

    def __init__(self, folder, receiver, graph):
        self.ports = {name: free_port() for name in PORTS}
        self.receiver = receiver
        self.folder = folder
        self.graph = graph
        self.processes = {}
        self.answers = {}

    def start(self, name, *command):
        environment = {
            **self.receiver.environment,
            **{name: str(port) for name, port in self.ports.items()},
            "GRAPH": self.graph,
            "OTEL_BSP_SCHEDULE_DELAY": "60000",  # nothing is sent before the end
        }
        with (self.folder / name).open("w") as log:
            self.processes[name] = subprocess.Popen(command, env=environment, cwd=SERVICES, stdout=log, stderr=log)

    def run(self, name, *command):
        self.start(name, MMTRACE, "run", "--service", name, *command)

    def wait_for(self, *ports):
        deadline = time.monotonic() + 300
        for port in ports:
            while not answers(self.ports[port]):
                assert time.monotonic() < deadline, self.logs()
                assert all(process.poll() is None for process in self.processes.values()), self.logs()
                time.sleep(0.05)

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['GATEWAY_PORT']}/{path}", timeout=60) as answer:
            return answer.read().decode()

    def stop(self, *names):
        for name in names:
            self.processes[name].send_signal(signal.SIGTERM)
        for name in names:
            self.processes[name].wait(300)

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def logs(self):
        return {name: (self.folder / name).read_text() for name in self.processes}

    def traces(self):
        found = {}
        for span in self.receiver.spans():
            found.setdefault(span.trace_id, []).append(span)
        return [Trace.of(spans) for spans in found.values()]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def graph(tmp_path_factory):
    """The path of an ONNX graph that turns signs."""
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("x", "y"))
    body = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [given], [made])
    model = helper.make_model(body, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    path = tmp_path_factory.mktemp("graph") / "negative.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.fixture(scope="module")
def system(tmp_path_factory, graph, paths):
    """The system when it has stopped: asked for all paths, by three clients at a time, and stopped at once."""
    with Receiver() as receiver:
        made = System(tmp_path_factory.mktemp("logs"), receiver, graph)
        try:
            made.start("redis", shutil.which("redis-server"), "--port", str(made.ports["REDIS_PORT"]), "--save", "")
            made.wait_for("REDIS_PORT")
            made.run("classifier", "-m", "uvicorn", "classifier:app", "--port", str(made.ports["CLASSIFIER_PORT"]))
            made.run("embedder", "python", "embedder.py")
            made.run("worker", "python", "worker.py")
            made.run("gateway", "python", "gateway.py")
            made.wait_for(*PORTS)
            with ThreadPoolExecutor(3) as clients:
                made.answers = dict(zip(paths, clients.map(made.ask, paths), strict=True))
            made.stop("gateway", "classifier", "embedder")
            made.stop("worker")  # after its last answer it has yet to acknowledge
            yield made
        finally:
            made.kill()
