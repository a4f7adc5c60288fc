"""A real Slurm of one node, on loopback, with GPUs that are none."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROGRAMS = "munged", "slurmctld", "slurmd", "sbatch"
_HERE = "127.0.0.1"
_WAIT_S = 60
_ENDED = "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY"
_GPUS = "/dev/zero", "/dev/full"  # Slurm takes any device
_CONFIG = """\
ClusterName=tests
SlurmctldHost={host}({here})
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
JobRequeue=1
MinJobAge=3600
DefMemPerCPU=1024
GresTypes=gpu
NodeName={host} NodeAddr={here} CPUs={cpus} RealMemory={mib} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Task:
    """A task of an array.

    Attributes:
        state: As Slurm names it.
        restarts: How often it was queued again.
    """

    state: str
    restarts: int


class Slurm:
    """A controller and one node, whose processors, memory and GPUs are pretended.

    A job that is queued again waits for ``cred_expire`` seconds, by default for two minutes.

    Args:
        folder: Its own.
        cpus: Processors that it says it has.
        mib: Memory that it says it has.
    """

    def __init__(self, folder: Path, cpus: int = 32, mib: int = 2**17) -> None:
        self._folder, self._running = folder, ExitStack()
        self.daemons: list[int] = []
        for name in ("state", "spool"):
            (folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        config = folder / "slurm.conf"
        config.write_text(
            _CONFIG.format(
                host=host,
                here=_HERE,
                user=getpass.getuser(),
                folder=folder,
                ports=_free_ports(2),
                cpus=cpus,
                mib=mib,
                gpus=len(_GPUS),
            )
        )
        gpus = "".join(f"Name=gpu File={device}\n" for device in _GPUS)
        (folder / "gres.conf").write_text(gpus)
        self.environment = {**os.environ, "SLURM_CONF": str(config)}

    def __enter__(self) -> Self:
        key = self._folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = {"key-file": key, "socket": self._folder / "munge.socket"}
        files |= {f"{name}-file": self._folder / f"munge.{name}" for name in ("pid", "log", "seed")}
        with self._running:
            self._start(
                "munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in files.items())
            )
            self._start("slurmctld", "-D", "-c")
            self._start("slurmd", "-D")
            self.wait_for(lambda: self._is_idle(), "a node")
            self._running.callback(self._end_jobs)
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def __call__(self, *command: str, **variables: str) -> str:
        """Return the output of one of Slurm's commands, or of another that finds Slurm.

        Args:
            command: The command.
            variables: Changes of its environment.
        """
        done = subprocess.run(
            command,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=_WAIT_S,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def tasks(self, job: str) -> dict[str, Task]:
        """Return the tasks of an array by their number; a job that is none has one, ``""``."""
        shown = self("scontrol", "show", "job", "--oneliner", job).splitlines()
        lines = [dict(word.partition("=")[::2] for word in line.split()) for line in shown]
        return {
            facts.get("ArrayTaskId", ""): Task(facts["JobState"], int(facts["Restarts"]))
            for facts in lines
        }

    def wait_for_end(self, job: str, seconds: float) -> dict[str, Task]:
        """Return the tasks of a job as soon as all have ended, for good."""
        self.wait_for(
            lambda: all(task.state in _ENDED for task in self.tasks(job).values()),
            f"end of {job}",
            seconds,
        )
        return self.tasks(job)

    def wait_for(self, is_so: Callable[[], bool], what: str, seconds: float = _WAIT_S) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"no {what} in {seconds} s\n{self.logs()}"
            time.sleep(0.1)  # between two looks at what Slurm says

    def logs(self) -> str:
        """Return the end of what its daemons wrote."""
        texts = {path.name: path.read_text() for path in self._folder.glob("*.out")}
        return "\n".join(f"{name}:\n{text[-2000:]}" for name, text in texts.items())

    def _start(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.out").open("wb") as log:
            daemon = subprocess.Popen(
                [str(found(program)), *arguments], env=self.environment, stdout=log, stderr=log
            )
        self.daemons.append(daemon.pid)
        self._running.callback(daemon.wait)
        self._running.callback(daemon.terminate)

    def _is_idle(self) -> bool:
        shown = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return shown.stdout.strip() == "idle"

    def _end_jobs(self) -> None:
        self("scancel", f"--user={getpass.getuser()}", "--full", "--signal=KILL")
        self("scancel", f"--user={getpass.getuser()}")
        self.wait_for(lambda: self._is_idle(), "end of all jobs")


def found(program: str) -> str | None:
    """Return the path of a program, also of a system's; None without it."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_HERE, 0))
        return [one.getsockname()[1] for one in sockets]
