"""Command lines of main.py, each in a process of its own, as a user runs them.

`python main.py` spends five seconds on imports and, for a tiny model, two on work. So one process
imports everything, starts no jax back end, and forks a child for each command; compiled programs
are shared through a folder. Run as a script, this file is that process.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Compiles twice as fast. Programs stay the same from process to process, which is what counts.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
COMPILER = {
    "xla_backend_optimization_level": 1,
    "xla_llvm_disable_expensive_passes": True,
}  # the same for one jit
# For programs that run for seconds: loops over random numbers take half the time.
LOOPS = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
DEVICES = "--xla_force_host_platform_device_count"
CLUSTERS = ("SLURM_", "OMPI_", "JAX_COORDINATOR_")  # where jax looks for one, which tests have not

# The `tiny` variants made tinier: one level, no attention, an ODE in a few steps.
SMALL = {
    "training.batch_size": 8,
    "training.snapshot_every": 2,
    "model.channel_multipliers": (1,),
    "model.attention_resolutions": (),
    "sampling.pc.steps": 2,
    "sampling.ode.rtol": 0.1,
    "sampling.ode.atol": 0.1,
    "likelihood.rtol": 0.1,
    "likelihood.atol": 0.1,
    "likelihood.t_min": 0.1,
}


def options(**settings) -> list[str]:
    """SMALL and more settings as options of main.py; `a__b` stands for `a.b`."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return [f"--config.{name}={value}".replace(" ", "") for name, value in (SMALL | named).items()]


def raw_config(sde: str, **settings):
    """The config of `configs/<sde>/digits.py:tiny` with SMALL and more settings."""
    config = importlib.import_module(f"configs.{sde}.digits").get_config("tiny")
    named = {name.replace("__", "."): value for name, value in settings.items()}
    config.update_from_flattened_dict(SMALL | named)
    return config


def tiny_config(sde: str, **settings):
    """The same, resolved."""
    from scoresde_jax import build  # not for the process that this file is as a script

    return build.resolve(raw_config(sde, **settings))


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: what the tests set for themselves taken out, and clusters."""
    own = ("XLA_FLAGS", "JAX_PLATFORMS", *CLUSTERS)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    return kept | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": QUICK,
        "JAX_COMPILATION_CACHE_DIR": _cache_folder(),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **more,
    }


class Command:
    """A running command line."""

    def __init__(self, pid: int, output: pathlib.Path):
        self.pid = pid
        self._output = output

    def kill(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    def wait(self) -> tuple[int, str]:
        """Exit code, negative for a signal, and what came on stderr."""
        code = _ask({"wait": self.pid})
        return code, self._output.read_text()

    def _ended(self) -> bool:
        # A child that nobody has waited for yet is a zombie, state Z.
        state = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"

    def until(self, condition, seconds: float = 400) -> None:
        """Polls until a condition holds, as often as costs little."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {self._output.read_text()}"
            assert not self._ended(), f"ended too early: {self._output.read_text()}"
            time.sleep(0.002)


def start(*arguments: str, devices: int = 1) -> Command:
    """Starts `python main.py arguments`."""
    descriptor, name = tempfile.mkstemp(dir=_scratch(), suffix=".stderr")
    os.close(descriptor)
    flags = f"{QUICK} {DEVICES}={devices}"
    pid = _ask({"argv": ["main.py", *map(str, arguments)], "stderr": name, "XLA_FLAGS": flags})
    return Command(pid, pathlib.Path(name))


def run(*arguments: str, devices: int = 1) -> tuple[int, str]:
    """Runs `python main.py arguments`: exit code and stderr."""
    return start(*arguments, devices=devices).wait()


@contextlib.contextmanager
def cluster():
    """The environment variables of each of two processes on this machine, as Open MPI sets them.

    Their port stays bound meanwhile, so that nobody else is given it; with SO_REUSEPORT, which the
    server of process 0 sets as well, that one can listen on it all the same.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        shared = {
            "OMPI_MCA_orte_hnp_uri": f"0.0;tcp://{address}",
            "OMPI_COMM_WORLD_SIZE": "2",
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_COORDINATOR_BIND_ADDRESS": address,
        }
        ranks = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
        yield [shared | dict.fromkeys(ranks, str(index)) for index in range(2)]


@functools.cache
def _scratch() -> str:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


def _cache_folder() -> str:
    return os.environ.get("SCORESDE_TEST_CACHE") or f"{_scratch()}/cache"


@functools.cache
def _server() -> subprocess.Popen:
    server = subprocess.Popen(
        [sys.executable, __file__],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def stop():
        server.communicate()  # closes its input, at which it ends

    atexit.register(stop)
    return server


def _ask(request: dict) -> int:
    server = _server()
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def _serve() -> None:
    """Answers each line {"argv", ...} with a process id, each {"wait": id} with an exit code."""
    import grain  # noqa: F401  # what commands import late
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import run_lib  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            status = os.waitpid(request["wait"], 0)[1]
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if not answer:
                _child(request)
        print(json.dumps(answer), flush=True)


def _child(request: dict) -> None:
    code = 70
    with open(request["stderr"], "w") as stream:
        os.dup2(stream.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.environ["XLA_FLAGS"] = request["XLA_FLAGS"]
    sys.argv = request["argv"]
    try:
        from absl import app

        import main

        app.run(main.main, flags_parser=main.parse)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
