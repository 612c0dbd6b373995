"""One axis of devices, over which batches are split and parameters are copied."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all devices (or those given) along one axis.

    Auto axes: the default of current jax, Explicit, refuses to mix sharded and unsharded arrays.
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Each device holds its share of one axis, the batch."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def check_divisible(name: str, batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError unless the devices share a batch evenly; `name` is where it was set."""
    devices = mesh.size
    if batch_size < 1 or batch_size % devices:
        raise ValueError(
            f"{name} is {batch_size}, which {devices} devices do not divide evenly; "
            f"use a positive multiple of {devices}."
        )


def round_up(count: int, mesh: Mesh) -> int:
    """The smallest multiple of the devices that is at least count."""
    return -(-count // mesh.size) * mesh.size
