import os
import signal
import subprocess
import sys
import venv

import pytest

from mmtrace.cli import main

SPAN = """
import sys
from opentelemetry import trace
with trace.get_tracer("test").start_as_current_span("work"):
    print(sys.argv[1:])
"""

APP = """
from fastapi import FastAPI
app = FastAPI()

@app.get("/")
def answer():
    return {}
"""

FLASKLESS = """
import time
from opentelemetry import trace

def app(environ, start_response):
    with trace.get_tracer("test").start_as_current_span("GET", kind=trace.SpanKind.SERVER):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""


def test_a_program_that_knows_nothing_of_mmtrace_is_traced(run, receiver, program):
    done = run("--service", "mine", "python", program(SPAN), "a", "--service", "b")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['a', '--service', 'b']\n", "")
    (span,) = receiver.spans
    assert span.name == "work"
    assert span.resource.attributes["service.name"] == "mine"


@pytest.mark.parametrize("flag", ["-E", "-I", "-s", "-O"])
def test_a_program_is_traced_whatever_the_interpreter_is_told_to_ignore(run, receiver, program, flag):
    assert run("python", flag, program(SPAN)).returncode == 0
    assert [span.name for span in receiver.spans] == ["work"]


def test_a_module_is_run_as_python_runs_it(run, receiver, program):
    program(SPAN, "some_module.py")
    assert run("--service", "mine", "-m", "some_module", "a", "-m", "b").stdout == "['a', '-m', 'b']\n"
    assert [span.name for span in receiver.spans] == ["work"]


def test_options_end_where_the_program_begins_or_at_two_dashes(run, program):
    assert run("--", "python", program(SPAN), "--", "a").stdout == "['--', 'a']\n"


def test_the_exit_code_is_that_of_the_program(run):
    assert run("python", "-c", "raise SystemExit(7)").returncode == 7


def test_programs_that_the_program_starts_are_traced_too(run, receiver, program):
    child = program(SPAN, "child.py")
    parent = program(f"import subprocess, sys; subprocess.run([sys.executable, {str(child)!r}], check=True)")
    assert run("python", parent).returncode == 0
    assert [span.name for span in receiver.spans] == ["work"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_are_traced_in_the_trace_of_their_parent(run, receiver, program, method):
    source = f"""
    import multiprocessing
    from opentelemetry import trace

    def work():
        with trace.get_tracer("test").start_as_current_span("child"):
            pass

    if __name__ == "__main__":
        with trace.get_tracer("test").start_as_current_span("parent"):
            process = multiprocessing.get_context({method!r}).Process(target=work)
            process.start()
            process.join()
    """
    done = run("python", program(source))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.name for span in receiver.spans) == ["child", "parent"]
    assert len({span.trace_id for span in receiver.spans}) == 1


def test_what_a_program_configures_itself_holds_in_its_spawned_processes_too(run, receiver, program):
    source = """
    import multiprocessing
    import mmtrace

    def work():
        with mmtrace.span("child"):
            pass

    if __name__ == "__main__":
        mmtrace.configure(service="mine")
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
    """
    done = run("python", program(source))
    assert (done.returncode, done.stderr) == (0, "")
    (span,) = receiver.spans
    assert (span.name, span.resource.attributes["service.name"]) == ("child", "mine")


def test_importing_mmtrace_auto_does_the_same_in_a_program(receiver, program):
    source = program("import mmtrace.auto\n" + SPAN)
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "MMTRACE_SERVICE": "mine"}
    subprocess.run([sys.executable, source], env=environment, check=True, capture_output=True)
    (span,) = receiver.spans
    assert (span.name, span.resource.attributes["service.name"]) == ("work", "mine")


def test_importing_mmtrace_auto_raises_for_a_wrong_variable(program):
    environment = {**os.environ, "MMTRACE_SAMPLER": "nonsense"}
    source = program("import mmtrace.auto")
    done = subprocess.run([sys.executable, source], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr


def test_an_interpreter_without_mmtrace_runs_untouched(run, tmp_path):
    venv.create(tmp_path / "other", symlinks=True)
    source = "import sys; print('mmtrace' in sys.modules, 'site' in sys.modules)"
    done = run(tmp_path / "other" / "bin" / "python", "-c", source)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False True\n", "")


def test_a_sitecustomize_of_somebody_else_works_as_ever(run, receiver, program, tmp_path):
    program("import os; 'MMTRACE_AUTO' in os.environ and print('customized')", "sitecustomize.py")
    done = run("python", program(SPAN), PYTHONPATH=str(tmp_path))
    assert done.stdout == "customized\n[]\n"
    assert [span.name for span in receiver.spans] == ["work"]


def test_a_program_whose_telemetry_cannot_start_runs_without(run, program):
    broken = program(
        "import os, sys; os.environ['MMTRACE_SAMPLER'] = 'nonsense'; os.execv(sys.executable, sys.argv[1:])"
    )
    done = run("python", broken, sys.executable, "-c", "print('runs')")
    assert (done.returncode, done.stdout) == (0, "runs\n")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mmtrace: this process is not traced: ")


def test_nothing_of_mmtrace_is_loaded_in_an_interpreter_that_nobody_asked_to_trace(run, program):
    source = "import os, sys; del os.environ['MMTRACE_AUTO']; os.execv(sys.executable, sys.argv[1:])"
    check = "import sys; print([name for name in sys.modules if name.startswith('mmtrace')])"
    assert run("python", program(source), sys.executable, "-c", check).stdout == "[]\n"


def test_the_report_comes_at_the_end_on_standard_error(run, program):
    done = run("--report", "python", program("import json, threading; print('done')"))
    first, head, *lines = done.stderr.splitlines()
    assert done.stdout == "done\n"
    assert first.startswith("mmtrace: what was patched in ")
    assert head.split() == ["library", "version", "target", "state", "why"]
    assert any(line.split()[:1] == ["threading"] and "patched" in line for line in lines)


def test_the_report_says_what_became_of_the_spans(run, receiver, program):
    done = run("--report", "python", program(SPAN))
    assert done.stderr.splitlines()[-1] == f"spans: 1 sent to {receiver.url}/v1/traces, 0 dropped"


def test_the_report_names_what_was_taken_too_early(run, program):
    program("from concurrent.futures import ThreadPoolExecutor\nfrom textwrap import dedent", "early.py")
    source = """
    from textwrap import dedent
    from mmtrace.patching import Instrumentation, Options, Patch, process
    def wrapper(wrapped, instance, args, kwargs): yield
    process._engine.instrument([Instrumentation("mine", patches=(Patch("textwrap:dedent", wrapper),))], Options())
    """
    done = run("--report", "python", program(source))
    assert "too late  taken before it was patched: __main__.dedent" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning"),
        ("uvicorn", "app:app", "--port", "{port}", "--log-level", "warning"),
        ("uvicorn", "app:app", "--port", "{port}", "--workers", "2", "--log-level", "warning"),
    ],
    ids=["module", "command", "workers"],
)
def test_uvicorn_that_is_stopped_right_after_its_last_answer_has_sent_everything(serve, receiver, program, command):
    program(APP, "app.py")
    process, ask = serve(*command)
    for _ in range(20):
        ask()
    process.send_signal(signal.SIGTERM)
    process.wait(300)
    assert len(receiver.kinds("SERVER")) == 21


def test_spans_that_a_framework_would_send_itself_arrive_once(serve, receiver, program, monkeypatch):
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    program(APP, "app.py")
    process, ask = serve("-m", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning")
    ask()
    process.send_signal(signal.SIGTERM)
    process.wait(300)
    spans = receiver.kinds("SERVER")
    assert len({span.span_id for span in spans}) == len(spans)


def test_uvicorn_says_its_report_before_it_raises_its_signal_again(serve, program, tmp_path):
    program(APP, "app.py")
    process, _ = serve("--report", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning")
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == -signal.SIGTERM
    log = (tmp_path / "log").read_text()
    assert log.count("mmtrace: what was patched in ") == 1
    assert "uvicorn.server:Server.shutdown" in log


@pytest.mark.parametrize("options", [(), ("--preload",), ("--threads", "4")], ids=["", "preload", "threads"])
def test_gunicorn_that_is_stopped_right_after_its_last_answer_has_sent_everything(serve, receiver, program, options):
    program(FLASKLESS, "app.py")
    command = ("gunicorn", "app:app", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "warning")
    process, ask = serve(*command, *options)
    for _ in range(20):
        ask()
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0
    assert len(receiver.kinds("SERVER")) == 21


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the program to run"),
        (["--service", "mine"], "name the program to run"),
        (["-m"], "-m takes the name of a module"),
        (["a-program-of-nobody"], "there is no program 'a-program-of-nobody'"),
        (["--protocol", "smoke", "python"], "MMTRACE_PROTOCOL='smoke' is wrong"),
        (["--no-such-option", "python"], "unrecognized arguments: --no-such-option"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(capsys, arguments, said):
    assert main(["run", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mmtrace: {said}")
    assert error.count("\n") == 1


def test_the_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    shown = capsys.readouterr().out
    assert "--service" in shown
    assert "--endpoint" in shown
    assert "mmtrace run -m MODULE" in shown or "mmtrace run [OPTIONS] -m MODULE" in shown
