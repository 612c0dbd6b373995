"""b_models: a network's output, its gradients, and the names and shapes of its parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden import networks
from tests.golden.item import NETWORK, Item

# Below this part of the largest gradient are only those that are zero but for rounding, such as
# that of the keys' bias in attention: 1e-7 at most, and no true one is below 1e-3.
ZERO = 1e-5


def check(item: Item) -> None:
    """Compares one network, forwards and backwards."""
    full, params = item.config["full"], item.params()
    x, label = jnp.asarray(item.given("x")), jnp.asarray(item.given("cond"))
    check_parameters(item, x.shape[1:])
    # Not compiled as a whole: the networks of a folder share most of their operations.
    out, pull = jax.vjp(lambda params, x: networks.apply(full, params, x, label), params, x)
    found = {"out": out}
    if "cotangent" in item.names:
        by_params, found["vjp_x"] = pull(jnp.asarray(item.given("cotangent")))
        found["param_grad_l2norm"] = gradient_norms(by_params, list(item.golden.shapes))
    for name in found.keys() & set(item.names):
        item.compare(name, found[name], NETWORK)
    if "param_grad_l2norm" in item.names:
        expected = item.golden.arrays["param_grad_l2norm"]
        known = expected > ZERO * expected.max()
        norms = np.where(known, found["param_grad_l2norm"], expected)
        item.compare("param_grad_l2norm each", norms, NETWORK, each=True)


def check_parameters(item: Item, image_shape: tuple[int, ...]) -> None:
    """Raises ValueError unless our network has the parameters of the original's."""
    found = networks.shapes(networks.network(item.config["full"]), image_shape)
    expected = item.golden.shapes
    if found != expected:
        other = sorted(found.items() ^ expected.items())
        raise ValueError(f"the parameters differ from ours: {other[:4]} ...")
    total, stated = sum(map(np.prod, found.values())), item.golden.meta.get("total_params")
    if stated not in (None, total):
        raise ValueError(f"the network has {total} parameters, expected {stated}")


def gradient_norms(gradients: dict, paths: list[str]) -> np.ndarray:
    """The Euclidean norm of the gradient by each parameter, in the order of their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(gradients)
    norms = {"/".join(k.key for k in path): np.linalg.norm(leaf) for path, leaf in leaves}
    return np.array([norms[path] for path in paths])
