"""Scores of every image of a data set: the flow's density, the bound, the loss.

Whatever the batch size and the devices, an image has its own keys, by its place in the data set,
and is counted once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, compaction, likelihood, sharding
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array

# Purposes of the keys of an example: fold_in(fold_in(key, purpose), index in the data set).
DEQUANTIZE, PROBE, LOSS, BOUND = range(4)
SEGMENT_TURNS = 64  # evaluations between two looks at who is done
Columns = dict[str, np.ndarray]


class Unit(NamedTuple):
    """What a log-likelihood is reported in."""

    name: str  # of results
    column: str  # of each image's value
    label: str
    nats: float  # in one unit


BITS = Unit("bits_per_dim", "bpd", "bits/dim", math.log(2))
NATS = Unit("nats_per_dim", "npd", "nats/dim", 1.0)


def unit_of(config: build.Config) -> Unit:
    """Bits of the discrete image; for data without levels there is no such thing, and it is nats.

    Both are negative log-likelihoods: less is better.
    """
    return NATS if config.data.levels is None else BITS


class Scorer:
    """The compiled programs that score images; each is compiled when first used."""

    def __init__(
        self,
        experiment: build.Experiment,
        params: Any,
        config: build.Config,
        mesh: Mesh,
        dequantizers: Mapping[str, likelihood.Dequantizer],
    ):
        """Places nothing and compiles nothing yet.

        Args:
          params: of the score network, on the mesh.
          dequantizers: by the name that their columns get.
        """
        self._experiment, self._params, self._mesh = experiment, params, mesh
        self._section, self._draws = config.likelihood, config.likelihood.importance_samples
        self._unit = unit_of(config)
        self.kinds = tuple(dequantizers)
        self._root = jax.random.key(self._section.seed)
        self.rows_computed = 0
        self._split = split = sharding.batch_sharded(mesh)
        segment = compaction.Segment(split, split, split, sharding.replicated(mesh))
        self._segment = jax.jit(self._advance, out_shardings=segment)
        self._loss = jax.jit(self._losses, out_shardings=split)
        self._starts = {k: jax.jit(partial(self._start, d)) for k, d in dequantizers.items()}
        self._bounds = {
            kind: jax.jit(partial(self._bound, dequantizer), out_shardings=split)
            for kind, dequantizer in dequantizers.items()
        }

    def columns(self, images: np.ndarray, index: np.ndarray, progress: Progress) -> Columns:
        """All numbers of some images, in order: "index", "loss", and for each dequantizer

        "<kind>/logp" and so on (nats of the discrete image), "<kind>/bpd" ("npd" for data without
        levels), "<kind>/bound_logp" and so on.

        Args:
          images: (N, H, W, C) uint8, those of the data set at `index` (N,).
          progress: counts images.
        """
        columns = {"index": index, "loss": self._batched(self._loss, images, index, draws=1)[0]}
        for kind in self._starts:
            for name, values in self._of_kind(kind, images, index, progress).items():
                columns[f"{kind}/{name}"] = values
        return columns

    def _of_kind(
        self, kind: str, images: np.ndarray, index: np.ndarray, progress: Progress
    ) -> Columns:
        draws, count = self._draws, len(images)
        dims = math.prod(self._experiment.image_shape)
        flow = self.densities(kind, images, index, progress)
        logp, logp_se, nfe = self._batched(self._bounds[kind], images, index, draws=draws)
        bound = {"logp": logp, "logp_standard_error": logp_se, "nfe": nfe}
        found: Columns = {}
        for prefix, part in (("", flow), ("bound_", bound)):
            rows = {name: values.reshape(count, draws) for name, values in part.items()}
            weights = jax.nn.softmax(rows["logp"], axis=1)
            logp = likelihood.importance_weighted(jnp.asarray(rows["logp"]))
            se = np.sqrt(np.sum((weights * rows["logp_standard_error"]) ** 2, axis=1))
            found |= {
                f"{prefix}logp": np.asarray(logp),
                f"{prefix}logp_standard_error": se,
                f"{prefix}{self._unit.column}": np.asarray(-logp / dims / self._unit.nats),
                f"{prefix}nfe": rows["nfe"].sum(axis=1),
            }
        converged = np.asarray(flow["converged"].reshape(count, draws).all(axis=1))
        return found | {"converged": converged}

    def densities(
        self, kind: str, images: np.ndarray, index: np.ndarray, progress: Progress
    ) -> Columns:
        """The flow's log-density, in order; images that are done make room for others.

        A row is an image and a draw of its noise. Counts the rows of all batches evaluated, padding
        included, in `rows_computed`.
        """
        draws, start = self._draws, self._starts[kind]
        sizes = compaction.ladder(self._section.batch_size, multiple_of=self._mesh.size)

        def begin(rows: np.ndarray):
            return start(self._params, images[rows // draws], index[rows // draws], rows % draws)

        def advance(rows: Any, live: np.ndarray, fewest: int) -> compaction.Segment:
            placed = jax.device_put((rows, live), self._split)
            return self._segment(self._params, *placed, np.int32(fewest))

        done = compaction.complete(draws * len(images), sizes=sizes, begin=begin, advance=advance)
        return compaction.in_order(self._counted(done, progress, kind))

    def _counted(
        self, parts: Iterator[compaction.Finished], progress: Progress, kind: str
    ) -> Iterator[compaction.Finished]:
        """Reports what passes."""
        before, rows = progress.done, 0
        for part in parts:
            rows += len(part.positions)
            self.rows_computed += part.rows
            progress.update(before + rows // self._draws, kind)
            yield part

    def _batched(self, program, images: np.ndarray, index: np.ndarray, *, draws: int):
        """A program of (params, images, index, draw) on batches that are filled up; in order."""
        size, total = self._section.batch_size, draws * len(images)
        parts = []
        for first in range(0, total, size):
            rows = np.arange(first, first + size)
            valid = rows < total
            rows = np.where(valid, rows, 0)
            inputs = images[rows // draws], index[rows // draws], rows % draws
            found = jax.device_get(program(self._params, *jax.device_put(inputs, self._split)))
            parts.append([column[valid] for column in found])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    # What is compiled: params, images (B, H, W, C), their index (B,) and draw (B,).

    def _keys(self, purpose: int, index: Array, draw: Array | int = 0) -> Array:
        """A key for each example and one purpose, and for each of its draws; (B,)."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            jax.random.fold_in(self._root, purpose), index
        )
        draw = jnp.broadcast_to(draw, index.shape)
        return jnp.where(draw == 0, keys, jax.vmap(jax.random.fold_in)(keys, draw))

    def _points(self, dequantizer, images, index, draw) -> tuple[Array, Array]:
        """x (B, H, W, C), and what is added to log p(x) for log P of the image, (B,) nats."""
        noise = dequantizer(self._keys(DEQUANTIZE, index, draw), images)
        x = self._experiment.scale_cells(images + noise.u)
        return x, x[0].size * math.log(self._experiment.data_scale) - noise.logq

    def _start(self, dequantizer, params, images, index, draw):
        del params
        x, added = self._points(dequantizer, images, index, draw)
        return self._experiment.density.begin(self._keys(PROBE, index, draw), x), added

    def _advance(self, params, rows, live, fewest) -> compaction.Segment:
        state, added = rows
        flow = self._experiment.density
        before = state._replace(stuck=state.stuck | ~live)
        limits = {"fewest": fewest, "turns": SEGMENT_TURNS}
        after = flow.advance(self._experiment.score_fn(params), before, **limits)
        found = flow.finish(after)
        outcome = {
            "logp": found.logp + added,
            "logp_standard_error": found.logp_se,
            "nfe": found.nfe,
            "converged": found.converged,
        }
        # Whoever was there last was there in every turn.
        turns = jnp.max(after.turns - before.turns)
        return compaction.Segment((after, added), flow.active(after), outcome, turns)

    def _bound(self, dequantizer, params, images, index, draw):
        x, added = self._points(dequantizer, images, index, draw)
        keys = self._keys(BOUND, index, draw)
        bound = self._experiment.bound(keys, self._experiment.score_fn(params), x)
        return bound.logp + added, bound.logp_se, bound.nfe

    def _losses(self, params, images, index, draw):
        del draw
        return (self._experiment.eval_loss(params, self._keys(LOSS, index), images),)


def results(columns: Columns, config: build.Config, kinds: Sequence[str]) -> dict[str, Any]:
    """Means and standard errors, as eval/results.json has them; null where one is unknown.

    Args:
      kinds: of dequantization; the others are compared with the first. None for the loss alone.
    """
    unit = unit_of(config)
    whole = np.all([columns[f"{kind}/converged"] for kind in kinds], axis=0)
    failed = columns["index"][~whole].tolist() if kinds else []
    loss, loss_error = likelihood.mean_and_standard_error(columns["loss"])
    images = len(columns["index"])
    found = {
        "evaluation_loss": {"mean": loss, "standard_error": loss_error, "images": images},
        **(_of_kind(columns, config, kinds[0]) if kinds else {}),
        "not_converged": failed,
        "other_dequantizations": {},
        "config": config.to_dict(),
    }
    for kind in kinds[1:]:
        other = _of_kind(columns, config, kind)
        for suffix, prefix in (("", ""), ("_bound", "bound_")):
            column = f"{prefix}{unit.column}"
            difference = columns[f"{kind}/{column}"] - columns[f"{kinds[0]}/{column}"]
            mean, error = likelihood.mean_and_standard_error(difference)
            other[unit.name + suffix]["paired_difference"] = {
                "minus": kinds[0],
                "mean": _number(mean),
                "standard_error": _number(error),
            }
        found["other_dequantizations"][kind] = other
    return found


def _of_kind(columns: Columns, config: build.Config, kind: str) -> dict[str, Any]:
    section, bound = config.likelihood, config.likelihood.bound
    shared = {
        "images": len(columns["index"]),
        "dequantization": kind,
        "importance_samples": section.importance_samples,
    }
    flow = {key: section[key] for key in ("probes", "probe", "rtol", "atol", "t_min")}
    name, of_flow = unit_of(config).name, _values(columns, config, f"{kind}/")
    of_bound = _values(columns, config, f"{kind}/bound_")
    return {
        name: of_flow | shared | flow,
        f"{name}_bound": of_bound | shared | bound.to_dict(),
    }


def _values(columns: Columns, config: build.Config, prefix: str) -> dict[str, Any]:
    """Mean with its errors: over images, and of that mean over probes or draws alone."""
    unit, data = unit_of(config), config.data
    values, nfe = columns[f"{prefix}{unit.column}"], columns[f"{prefix}nfe"]
    mean, error = likelihood.mean_and_standard_error(values)
    nats = data.image_size**2 * data.channels * unit.nats
    inner = np.sqrt(np.sum(np.square(columns[f"{prefix}logp_standard_error"]))) / len(values)
    low, middle, high = np.percentile(nfe, (5, 50, 95))
    return {
        "mean": _number(mean),
        "standard_error": _number(error),
        "standard_error_of_estimates": _number(inner / nats),
        "nfe": {
            "mean": float(nfe.mean()),
            "percentile_5": float(low),
            "median": float(middle),
            "percentile_95": float(high),
            "max": int(nfe.max()),
        },
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What is printed of results: flow and bound under each dequantization."""
    loss = found["evaluation_loss"]["mean"]
    unit = NATS if NATS.name in found else BITS
    parts = (found, *found["other_dequantizations"].values())
    for part in parts if unit.name in found else ():
        flow, bound = part[unit.name], part[f"{unit.name}_bound"]
        yield (
            f"{flow['dequantization']} dequantization: {unit.label} {_with_error(flow)} (ODE), "
            f"bound {_with_error(bound)} (SDE), on {flow['images']} images"
        )
        for name, values in (("ODE", flow), ("bound", bound)):
            if difference := values.get("paired_difference"):
                yield f"  {name}, less that under {difference['minus']}: {_with_error(difference)}"
    yield f"loss {loss:.4f}"


def _with_error(values: Mapping[str, float]) -> str:
    return f"{values['mean']:.4f} +- {values['standard_error']:.4f}"
