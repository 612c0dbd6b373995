"""Scores of images, on a network that compiles in no time."""

import commands
import jax
import numpy as np
import pytest
from small_network import SmallNetwork

from scoresde_jax import build, likelihood, scoring, sharding
from scoresde_jax.progress import Progress

IMAGES, DIMS = 10, 64
KINDS = ("uniform", "truncated_normal")
SETTINGS = {
    "likelihood__rtol": 1e-5,
    "likelihood__atol": 1e-5,
    "likelihood__probes": 2,
    "likelihood__bound__draws": 4,
    "likelihood__truncated_std": 0.4,
}


def scoring_config(batch_size, samples=1, kinds=KINDS, **settings):
    return commands.tiny_config(
        "subvp",
        **SETTINGS | settings,
        likelihood__batch_size=batch_size,
        likelihood__importance_samples=samples,
        likelihood__dequantizations=kinds,
    )


def score(batch_size, devices, images=None, **settings):
    """The columns of the first ten test images, or of others, and the config."""
    config = scoring_config(batch_size, **settings)
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    mesh = sharding.device_mesh(jax.devices()[:devices])
    params = experiment.init_params(jax.random.key(0))
    params = jax.device_put(params, sharding.replicated(mesh))
    dequantizers = build.dequantizers(config, experiment.sde, experiment.data_scale, dict)
    scorer = scoring.Scorer(experiment, params, config, mesh, dequantizers)
    if images is None:
        images = build.dataset(config, "test").images[:IMAGES]
    columns = scorer.columns(images, np.arange(len(images)), Progress("eval", 1))
    return columns, config


@pytest.fixture(scope="module")
def scored():
    """(batch size, devices) -> columns."""
    return {(size, devices): score(size, devices)[0] for size, devices in ((10, 1), (4, 4))}


def test_scores_depend_on_neither_batch_nor_devices(scored):
    whole, other = scored[10, 1], scored[4, 4]  # the second with a batch that is filled up
    for kind in KINDS:
        for name in ("logp", "logp_standard_error", "bound_logp", "bound_logp_standard_error"):
            # 1e-4 nats/dim: sums over other batches round otherwise, and the solver amplifies it.
            ours, theirs = whole[f"{kind}/{name}"] / DIMS, other[f"{kind}/{name}"] / DIMS
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(whole[f"{kind}/nfe"], other[f"{kind}/nfe"])
    np.testing.assert_allclose(whole["loss"], other["loss"], rtol=1e-4)


def test_every_image_is_scored_once_and_in_order(scored):
    for columns in scored.values():
        np.testing.assert_array_equal(columns["index"], np.arange(IMAGES))
        assert {len(column) for column in columns.values()} == {IMAGES}
        for kind in KINDS:
            assert columns[f"{kind}/converged"].all()
            assert len(np.unique(columns[f"{kind}/logp"])) == IMAGES
            assert (columns[f"{kind}/logp_standard_error"] > 0).all()
            np.testing.assert_array_equal(columns[f"{kind}/bound_nfe"], 5)


def test_each_digit_counts_once_whatever_the_batch():
    """The whole test set: batches that do not divide it, and one that is larger than it."""
    images = build.dataset(commands.tiny_config("subvp"), "test").images
    loose = {"likelihood__rtol": 0.1, "likelihood__atol": 0.1, "likelihood__bound__draws": 1}
    found = [
        score(size, devices, kinds=("uniform",), images=images, **loose)[0]["uniform/logp"]
        for size, devices in ((7, 1), (64, 4), (300, 4))
    ]
    for values in found:
        assert len(values) == 297 and np.isfinite(values).all()
        np.testing.assert_allclose(values / DIMS, found[0] / DIMS, rtol=0, atol=1e-4)


def test_scores_are_those_of_the_library(scored):
    """Log P of image 3 by hand: its keys, its noise, its cell's volume."""
    columns, config = scored[10, 1], scoring_config(10)
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    params = experiment.init_params(jax.random.key(0))
    root = jax.random.key(config.likelihood.seed)

    def key(purpose):
        return jax.random.fold_in(jax.random.fold_in(root, purpose), 3)[None]

    image = build.dataset(config, "test").images[3:4]
    score_fn = experiment.score_fn(params)
    volume = DIMS * np.log(2 / 17)  # x = (2 / 17) y + constant
    noise = likelihood.truncated_normal(key(scoring.DEQUANTIZE), image, std=0.4)
    for kind, u, logq in (
        ("uniform", likelihood.uniform(key(scoring.DEQUANTIZE), image).u, 0.0),
        ("truncated_normal", noise.u, noise.logq),
    ):
        x = 2 * (image + u) / 17 - 1
        flow = experiment.density
        state = flow.advance(score_fn, flow.begin(key(scoring.PROBE), x))
        logp = flow.finish(state).logp + volume - logq
        np.testing.assert_allclose(columns[f"{kind}/logp"][3], logp[0], atol=1e-4 * DIMS)
        bits = -logp[0] / DIMS / np.log(2)
        np.testing.assert_allclose(columns[f"{kind}/bpd"][3], bits, atol=2e-4)
        bound = experiment.bound(key(scoring.BOUND), score_fn, x)
        np.testing.assert_allclose(
            columns[f"{kind}/bound_logp"][3], bound.logp[0] + volume - np.sum(logq), rtol=1e-5
        )


def test_more_draws_of_the_noise_tighten_the_bound():
    one, four = (score(8, 1, samples=k, kinds=("uniform",))[0] for k in (1, 4))
    for name in ("bpd", "bound_bpd"):
        # An average over images; the log of a mean is above the mean of logs.
        assert four[f"uniform/{name}"].mean() < one[f"uniform/{name}"].mean()
    np.testing.assert_allclose(four["uniform/bound_nfe"], 4 * one["uniform/bound_nfe"])
    assert (four["uniform/nfe"] > 3 * one["uniform/nfe"]).all()


def test_results_are_means_with_errors(scored):
    columns, config = scored[10, 1], scoring_config(10)
    found = scoring.results(columns, config, KINDS)
    bits = found["bits_per_dim"]
    bpd = columns["uniform/bpd"]
    np.testing.assert_allclose(bits["mean"], bpd.mean(), rtol=1e-6)
    np.testing.assert_allclose(bits["standard_error"], bpd.std(ddof=1) / 10**0.5, rtol=1e-6)
    inner = columns["uniform/logp_standard_error"] / DIMS / np.log(2)
    wanted = np.sqrt((inner**2).sum()) / 10
    np.testing.assert_allclose(bits["standard_error_of_estimates"], wanted, rtol=1e-6)
    assert bits["dequantization"] == "uniform" and bits["probes"] == 2
    assert found["bits_per_dim_bound"]["draws"] == 4
    other = found["other_dequantizations"]["truncated_normal"]["bits_per_dim"]
    difference = columns["truncated_normal/bpd"] - bpd
    np.testing.assert_allclose(other["paired_difference"]["mean"], difference.mean(), rtol=1e-6)
    assert other["paired_difference"]["minus"] == "uniform"
    printed = list(scoring.lines(found))
    assert printed[0].startswith(f"uniform dequantization: bits/dim {bits['mean']:.4f} +- ")
    assert len(printed) == 5


def test_data_without_levels_are_scored_in_nats():
    """The density of the data y itself, x = 2 y - 1 being the network's."""
    images = np.random.default_rng(0).uniform(0, 1, (IMAGES, 8, 8, 1)).astype(np.float32)
    columns, config = score(10, 1, kinds=("none",), images=images, data__levels=None)
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    score_fn = experiment.score_fn(experiment.init_params(jax.random.key(0)))
    root = jax.random.fold_in(jax.random.key(config.likelihood.seed), scoring.PROBE)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(root, np.arange(IMAGES))
    flow = experiment.density
    found = flow.finish(flow.advance(score_fn, flow.begin(keys, 2 * images - 1)))
    nats = -(found.logp + DIMS * np.log(2)) / DIMS
    np.testing.assert_allclose(columns["none/npd"], nats, atol=1e-4)
    results = scoring.results(columns, config, ("none",))
    np.testing.assert_allclose(results["nats_per_dim"]["mean"], nats.mean(), atol=1e-4)
    assert "bits_per_dim" not in results and results["nats_per_dim_bound"]["mean"] > 0
    assert "nats/dim" in next(scoring.lines(results))


def test_continuous_data_are_neither_rounded_nor_spread():
    config = commands.tiny_config("subvp", data__levels=None)
    experiment = build.experiment(config)
    y = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 1)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    for scale in (experiment.scale_train, experiment.scale_loss, experiment.scale_eval):
        np.testing.assert_allclose(scale(keys, y), 2 * y - 1, atol=1e-6)
    np.testing.assert_array_equal(experiment.to_pixels(2 * y - 1), np.round(255 * y))


@pytest.mark.parametrize(
    "levels, kinds", [(17, ()), (17, ("uniform",) * 2), (17, ("unifrom",)), (None, ("uniform",))]
)
def test_dequantizations_that_make_no_sense_are_refused(levels, kinds):
    settings = {"data__levels": levels, "likelihood__dequantizations": kinds}
    config = commands.tiny_config("subvp", **settings)
    with pytest.raises(ValueError, match="config.likelihood.dequantizations"):
        build.dequantizers(config, build.experiment(config).sde, 2 / 17, dict)
