"""The first minutes on a GPU: does everything work there, is it right, how fast is it, and why.

    python tests/benchmarks/first_minutes.py --out first-minutes
    python tests/benchmarks/first_minutes.py --device cpu --small --out trial

Runs the stages below, the most informative first, each in a process of its own with a limit of
time, so that none can spoil or outlast the others; all together take no more than ``--seconds``.
Figures, logs and profiles go to the folder; the summary at the end is also in its `summary.json`.
What a machine lacks is said, and stages that can do without it run all the same. With ``--small``
a tiny model takes some seconds per stage, and on a CPU the tests are those that a GPU shares.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = ("ViT-B-32-quickgelu", "ViT-L-14-quickgelu")
"""Models with weights of OpenAI, as most runs use."""
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 4, "layers": 3},
}
_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
_LEAST_SECONDS = 5
NO_DEVICE = "torch sees no CUDA device"
Figures = dict[str, dict[str, Any]]
"""Label of what was measured -> name of a figure -> value."""


@dataclass(frozen=True)
class Stage:
    """A process.

    Attributes:
        name: Of its files in the folder.
        seconds: After which it is ended.
        arguments: Python's.
    """

    name: str
    seconds: int
    arguments: list[str]


def stages(device: str, out: Path, small: bool) -> list[Stage]:
    """All stages, in order."""
    one, other = MODELS
    if small:
        one = other = str(out / "tiny.json")
        Path(one).write_text(json.dumps(TINY))

    def look(name: str, seconds: int) -> Stage:
        given = ["--device", device, "--models", one, other, "--out", str(out)]
        given += ["--small"] if small else []
        return Stage(name, seconds, [str(HERE / "first_stages.py"), name, *given])

    def speed(name: str, seconds: int, model: str, classes: int) -> Stage:
        given = ["--device", device, "--models", model, "--classes", str(classes), "--literal"]
        given += ["--json", str(out / f"{name}.json")]
        given += ["--kernels", "standard", *(["fused"] if device != "cpu" else [])]
        given += ["--batch", "4", "--timed-steps", "2"] if small else []
        return Stage(name, seconds, [str(HERE / "engine.py"), *given])

    return [
        Stage("device", 40, [__file__, "--here", "--device", device, "--out", str(out)]),
        Stage("tests", 100, _tests(device, out)),
        speed("few-classes", 90, one, 2),
        look("agreement", 50),
        look("files", 75),
        speed("classes", 120, other, 3 if small else 200),
        look("profile", 75),
        look("batches", 60),
        look("attention", 40),
        look("tower", 40),
        speed("many-classes", 120, other, 5 if small else 1000),
    ]


def _tests(device: str, out: Path) -> list[str]:
    """The suite's tests of GPUs, from the files that have some: to collect all takes long."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file.parent != HERE]
    some = sorted(str(file) for file in files if "pytest.mark.gpu" in file.read_text())
    which = ["-k", "cpu"] if device == "cpu" else ["-m", "gpu and not benchmark"]
    how = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    return ["-m", "pytest", *how, *which, f"--junitxml={out / 'tests.xml'}", *some]


def look_at_device(device: str, out: Path) -> bool:
    """Write down the machine; return whether it has the device."""
    found: Figures = {"python": {"version": platform.python_version()}}
    file = out / "device.json"
    tools = {name: shutil.which(name) or "none" for name in ("cc", "c++", "nvidia-smi")}
    found["machine"] = {"cores": os.cpu_count(), **tools}
    found["missing"] = {"packages": " ".join(missing_packages()) or "none"}
    file.write_text(json.dumps(found))
    if shutil.which("nvidia-smi"):
        asked = "name,driver_version,memory.total,clocks.max.sm,power.limit"
        command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        found["nvidia-smi"] = {"says": (told.stdout or told.stderr).strip()}
        file.write_text(json.dumps(found))
    import torch  # may be missing, and only the process of this stage needs it

    versions = {"version": torch.__version__, "cuda": torch.version.cuda}
    here = device == "cpu" or torch.cuda.is_available()
    if device != "cpu" and here:
        p = torch.cuda.get_device_properties(torch.device(device))
        versions["cudnn"] = torch.backends.cudnn.version()
        capability, gib = f"{p.major}.{p.minor}", p.total_memory / 2**30
        processors = p.multi_processor_count
        found["gpu"] = {"name": p.name, "gib": gib, "sms": processors, "capability": capability}
    found["torch"] = versions
    file.write_text(json.dumps(found))
    return here


def missing_packages() -> list[str]:
    """Packages that a run or its tests need, and this machine does not have."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [re.split(r"[^\w.-]", each)[0] for each in document["project"]["dependencies"]]

    def is_missing(name: str) -> bool:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return True
        return False

    return [name for name in ("seraser", *needed, *_TOOLS) if is_missing(name)]


def run(stage: Stage, seconds: float, out: Path) -> dict[str, Any]:
    """Run a stage for at most so long; return its outcome, time and figures."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    log, began = out / f"{stage.name}.log", time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *stage.arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        outcome = "interrupted"
        try:
            outcome = "ok" if process.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            outcome = f"ended after {seconds:.0f} s"
        finally:
            _end(process)
    found: dict[str, Any] = {"outcome": outcome, "seconds": time.monotonic() - began}
    if outcome == "failed":
        found["outcome"] = f"failed: {reason(log.read_text(errors='replace'))}"
    return found | {"found": figures(stage.name, out)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and what it has started and left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def reason(log: str) -> str:
    """Why a process failed, from what it has printed."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if lines and re.match(r"\d+ \w+.* in [\d.]+s", lines[-1]):  # pytest's last word
        return lines[-1]
    if missing := re.findall(r"No module named '?([\w.]+)", log):
        return f"missing {', '.join(dict.fromkeys(missing))}"
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (errors or lines or ["it says nothing"])[-1][:300]


def figures(name: str, out: Path) -> Figures:
    """The figures that a stage has written, also of one that came to no end."""
    try:
        if name == "tests":
            return _test_figures(ElementTree.parse(out / "tests.xml").getroot())
        document = json.loads((out / f"{name}.json").read_text())
    except (OSError, ValueError, ElementTree.ParseError):
        return {}
    if "rows" not in document:
        return document
    keys = ("images_per_s", "ms_per_step", "matrix_rate_share", "peak_gib", "warnings")
    return {
        f"{Path(row['model']).stem} C={row['classes']} B={row['batch']} {row['kernels']}": {
            key: row[key] for key in keys if row[key] != []
        }
        for row in document["rows"]
    }


def _test_figures(root: ElementTree.Element) -> Figures:
    cases = list(root.iter("testcase"))
    found: Figures = {"all": {"tests": len(cases)}}
    for case in cases:
        for fault in (*case.iter("failure"), *case.iter("error"), *case.iter("skipped")):
            label = f"{case.get('classname', '').rpartition('.')[2]} {case.get('name')}"
            found[label.strip()] = {
                fault.tag: (fault.get("message") or "").partition("\n")[0][:200]
            }
    return found


def lines(name: str, result: dict[str, Any]) -> list[str]:
    """A stage for people."""
    found = [f"{name} ({result['seconds']:.0f} s): {result['outcome']}"]
    for label, given in result["found"].items():
        told = ", ".join(f"{key} {_shown(value)}" for key, value in given.items())
        found.append(f"  {label}: {told}")
    return found


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> int:
    """Run the stages; return 1 if one of them is not ok."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    names = [stage.name for stage in stages("cpu", Path(), False)]
    add("--out", type=Path, default=Path("first-minutes"), help="folder of all that is found")
    add("--device", default="cuda", help="cuda, cuda:N or cpu")
    add("--small", action="store_true", help="a tiny model, to try the stages themselves")
    add("--only", nargs="+", choices=names, metavar="STAGE", help=", ".join(names))
    add("--seconds", type=float, default=480, help="for all stages together")
    add("--here", action="store_true", help=argparse.SUPPRESS)  # the first stage itself
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if given.here:
        return 0 if look_at_device(given.device, out) else sys.exit(NO_DEVICE)
    began, results = time.monotonic(), {}
    chosen = [s for s in stages(given.device, out, given.small) if s.name in (given.only or names)]
    for stage in chosen:
        for old in (f"{stage.name}.json", f"{stage.name}.xml"):
            (out / old).unlink(missing_ok=True)
        left = given.seconds - (time.monotonic() - began)
        print(f"[{time.monotonic() - began:4.0f} s] {stage.name}", flush=True)
        if left < _LEAST_SECONDS:
            results[stage.name] = {"outcome": "skipped: no time", "seconds": 0.0, "found": {}}
        else:
            results[stage.name] = run(stage, min(left, stage.seconds), out)
        summary = {"device": figures("device", out), "stages": results}
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        if NO_DEVICE in results[stage.name]["outcome"]:
            break
    print(*(line for name, one in results.items() for line in lines(name, one)), sep="\n")
    return 0 if all(one["outcome"] == "ok" for one in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
