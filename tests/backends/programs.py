"""Gets the real programs that tests/backends drives: built as Go modules, each once, into a cache outside the checkout.

    python3 tests/backends/programs.py              # whatever is missing
    python3 tests/backends/programs.py promtool     # one of them

The cache is $BACKENDS_CACHE, else mmtrace/backends below $XDG_CACHE_HOME or ~/.cache; its `bin` has every program by
name. Versions are pinned below, and Go checks every module against its checksum database. What is complete has its
final name, so an interrupted build goes on where it stopped. mmtrace itself needs none of this.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDER_FILE = ROOT / "collector-config" / "builder.yaml"
CACHE = Path(
    os.environ.get("BACKENDS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmtrace" / "backends"
)
NO_GO = """\
The backends are built with Go 1.21 or newer, and there is none on the PATH.
Install it (https://go.dev/dl), or start the same backends as containers instead:
    docker compose -f collector-config/docker-compose.yaml up
mmtrace itself needs neither."""


class BuildError(Exception):
    """A program could not be built; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """One program: `package` of the Go module `module`, which calls itself `version`.

    `variable` is where the linker writes the version; `check` are the arguments that show it.
    """

    name: str
    version: str
    module: str
    package: str = "."
    variable: str = ""
    check: tuple[str, ...] = ("--version",)

    @property
    def folder(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def build(self, target: Path) -> None:
        """Build into the file `target`; Go checks the module and all that it requires."""
        module = json.loads(_go("mod", "download", "-json", self.module))
        more = self.flags(module)
        flags = f"-s -w -X {self.variable}={self.version}" if self.variable else "-s -w"
        arguments = ["build", "-C", module["Dir"], "-v", "-trimpath", "-ldflags", flags, *more]
        _go_build(self.name, ["go", *arguments, "-o", str(target), self.package], ROOT)

    def flags(self, module: dict[str, str]) -> list[str]:
        """Return what `go build` needs to be told besides, for the downloaded `module`."""
        return ["-tags", "netgo"]


@dataclass(frozen=True)
class Loki(Program):
    """Loki, whose go.mod replaces one requirement by a folder that a download leaves out; the requirement will do."""

    def flags(self, module: dict[str, str]) -> list[str]:
        work = CACHE / "work" / self.folder.name
        work.mkdir(parents=True, exist_ok=True)
        for file in ("go.mod", "go.sum"):
            (work / file).write_bytes((Path(module["Dir"]) / file).read_bytes())
        _go("mod", "edit", "-dropreplace=github.com/grafana/loki/pkg/push", str(work / "go.mod"))
        return [f"-modfile={work / 'go.mod'}", "-mod=mod"]


@dataclass(frozen=True)
class Collector(Program):
    """The Collector with the components of collector-config/builder.yaml, put together by its own builder."""

    @property
    def folder(self) -> Path:
        # Another list of components is another program.
        digest = hashlib.sha256(BUILDER_FILE.read_bytes()).hexdigest()[:8]
        return CACHE / f"{self.name}-{self.version}-{digest}"

    def build(self, target: Path) -> None:
        work = CACHE / "work" / self.folder.name
        work.mkdir(parents=True, exist_ok=True)
        _go("install", self.module, GOBIN=str(work))
        command = [str(work / "builder"), "--config", str(BUILDER_FILE), "--ldflags=-s -w"]
        _go_build(self.name, command, work)
        (work / "_otelcol" / "otelcol-mmtrace").rename(target)
        shutil.rmtree(work)


_PROMETHEUS = "github.com/prometheus/prometheus@v0.313.2"
_ALERTMANAGER = "github.com/prometheus/alertmanager@v0.31.1"
_COMMON = "github.com/prometheus/common/version.Version"
_JAEGER = "github.com/jaegertracing/jaeger"
PROGRAMS = (
    Program(
        "kustomize",
        "5.8.1",
        "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",
        variable="sigs.k8s.io/kustomize/api/provenance.version",
        check=("version",),
    ),
    Program("amtool", "0.31.1", _ALERTMANAGER, "./cmd/amtool", _COMMON),
    Program("alertmanager", "0.31.1", _ALERTMANAGER, "./cmd/alertmanager", _COMMON),
    Program("promtool", "3.13.2", _PROMETHEUS, "./cmd/promtool", _COMMON),
    Program("prometheus", "3.13.2", _PROMETHEUS, "./cmd/prometheus", _COMMON),
    Program(
        "jaeger",
        "2.13.0",
        f"{_JAEGER}@v1.76.0",
        "./cmd/jaeger",
        f"{_JAEGER}/internal/version.latestVersion",
        ("version",),
    ),
    Loki(
        "loki",
        "3.7.8",
        "github.com/grafana/loki/v3@v3.7.8",
        "./cmd/loki",
        "github.com/grafana/loki/v3/pkg/util/build.Version",
    ),
    Collector("otelcol", "0.158.0", "go.opentelemetry.io/collector/cmd/builder@v0.158.0"),
)
"""Every program, the quickest to build first."""


def program(name: str) -> Program:
    """Return the program of that name."""
    return next(program for program in PROGRAMS if program.name == name)


def get(program: Program) -> None:
    """Build `program` unless it is there, and give it its name in `bin`."""
    if program.path.exists():
        print(f"{program.name} {program.version}: there", flush=True)
    else:
        began = time.monotonic()
        partial = program.folder.with_name(program.folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        program.build(partial / program.name)
        _check(program, partial / program.name)
        shutil.rmtree(program.folder, ignore_errors=True)
        partial.rename(program.folder)
        print(f"{program.name} {program.version}: built in {time.monotonic() - began:.0f} s", flush=True)
    _link(program)


def _check(program: Program, file: Path) -> None:
    done = subprocess.run([file, *program.check], capture_output=True, text=True, check=False)
    if program.version not in done.stdout + done.stderr:
        raise BuildError(f"{program.name} does not say that it is {program.version}:\n{done.stdout}{done.stderr}")


def _link(program: Program) -> None:
    link = CACHE / "bin" / program.name
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{program.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(program.path)
    fresh.rename(link)


def _go(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd="/", env=_environment(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _go_build(name: str, command: list[str], folder: Path) -> None:
    """Run a build, with a line every ten seconds that says how many packages it has compiled."""
    tail: list[str] = []
    compiled, told = 0, time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=_environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as building:
        assert building.stdout is not None
        for line in building.stdout:
            compiled += 1
            tail = [*tail[-40:], line]
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"{name}: {compiled} packages, {line.strip()[:80]}", flush=True)
    if building.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{''.join(tail)}")


def _environment(more: dict[str, str]) -> dict[str, str]:
    # A go.work of the user's, or one inside a module, would change what is built.
    return {**os.environ, "GOWORK": "off", **more}


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the cache: a second `make backends` waits for the first, and then finds everything there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another build of the backends ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(names: list[str]) -> int:
    """Get the named programs, all of them where none is named; 0 where they are there in the end."""
    if {"-h", "--help"} & set(names):
        print(__doc__)
        return 0
    known = [program.name for program in PROGRAMS]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"Unknown: {', '.join(unknown)}. There are {', '.join(known)}.", file=sys.stderr)
        return 2
    wanted = [program for program in PROGRAMS if not names or program.name in names]
    missing = [program for program in wanted if not program.path.exists()]
    if missing and not shutil.which("go"):
        print(NO_GO, file=sys.stderr)
        return 1
    print(f"Backends in {CACHE}; missing: {', '.join(program.name for program in missing) or 'none'}", flush=True)
    if missing:
        print("A cold build takes some 20 minutes on two cores; it may be interrupted and goes on later.", flush=True)
    try:
        with _alone():
            for program in wanted:
                get(program)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
