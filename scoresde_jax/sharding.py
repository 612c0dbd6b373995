"""One axis of devices, over which batches are split and parameters are copied; what they hold."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
MOST_CPU_DEVICES = 4


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all devices (or those given) along one axis.

    Auto axes: the default of current jax, Explicit, refuses to mix sharded and unsharded arrays.
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def split_cpu(count: int | None = None) -> None:
    """Makes several devices of one CPU, so that cores share a batch instead of each operation.

    XLA:CPU runs most operations of a small network on one core: two devices train the digits model
    1.6 times as fast as one on the same two cores. Accelerators are left alone. To be called
    before jax is first used; a device count given in XLA_FLAGS stays.

    Args:
      count: devices; None for one per core, a power of two, at most `MOST_CPU_DEVICES`.
    """
    if count is None:
        if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
            return
        cores = min(_cores(), MOST_CPU_DEVICES)
        count = 1 << (cores.bit_length() - 1)
    jax.config.update("jax_num_cpu_devices", count)


def _cores() -> int:
    """Cores that this process may use, where the system says; else those there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Each device holds its share of one axis, the batch."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def copied(tree: Any, mesh: Mesh) -> Any:
    """The same arrays or keys, which every process has, on all devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, replicated(mesh))

    def put(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.device_put(leaf, replicated(mesh))
        data = jax.device_put(jax.random.key_data(leaf), replicated(mesh))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))

    return jax.tree.map(put, tree)


def of_all_processes(local: Any, mesh: Mesh, axis: int = 0) -> Any:
    """Arrays of which each process holds its own rows, put together and split over the devices.

    Args:
      local: a tree of arrays, this process's rows along `axis`; of one process, all rows.
    """
    return jax.make_array_from_process_local_data(batch_sharded(mesh, axis), local)


def fetched(tree: Any) -> Any:
    """The whole of arrays, on the host; all processes must ask at the same place."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def agreed(number: int) -> int:
    """The largest of what all processes say; all must say it at the same place."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def check_agreed(number: int, what: str) -> None:
    """Raises ValueError where processes say different numbers; all must say it at one place."""
    largest, smallest = agreed(number), -agreed(-number)
    if largest != smallest:
        raise ValueError(
            f"processes differ on {what}: {smallest} and {largest}. All must see one disk: name a "
            "--workdir that they share."
        )


def join_processes() -> None:
    """Joins the processes of a cluster, as jax finds it; to be called before jax is first used.

    Raises:
      ValueError: there is no cluster that jax knows of, or it cannot be joined.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--distributed found no cluster to join ({error}). Start the same command on every "
            "host of a TPU pod, or under Slurm or Open MPI; one host needs no --distributed."
        ) from error


def check_one_process() -> None:
    """Raises ValueError where jax.distributed has joined several processes."""
    if jax.process_count() > 1:
        raise ValueError(
            f"this is process {jax.process_index()} of {jax.process_count()}, and only --mode "
            "train takes several; start it without jax.distributed: one process uses all its "
            "devices."
        )


def check_divisible(name: str, batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError unless the devices share a batch evenly; `name` is where it was set."""
    devices = mesh.size
    if batch_size < 1 or batch_size % devices:
        raise ValueError(
            f"{name} is {batch_size}, which {devices} devices do not divide evenly; "
            f"use a positive multiple of {devices}"
            f"{' or --cpu_devices=1.' if jax.default_backend() == 'cpu' else '.'}"
        )


def round_up(count: int, mesh: Mesh) -> int:
    """The smallest multiple of the devices that is at least count."""
    return -(-count // mesh.size) * mesh.size


def peak_bytes() -> int:
    """The most memory used so far: the device's where it says, else this process's."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    import resource  # of Unix

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
