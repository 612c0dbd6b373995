"""Restoring as a command: its files, its numbers, files of one's own, and what it refuses."""

import functools
import importlib
import shutil

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_network import SmallNetwork
from verb_runs import run_quickly

import run_lib
from scoresde_jax import build, data, evaluation, files
from scoresde_jax.build import assemble, operators
from scoresde_jax.posterior.operators import forward_of
from scoresde_jax.verbs import UserError

BRIEF = {
    "posterior__images": 3,
    "posterior__draws": 2,
    "posterior__batch_size": 4,  # two batches, the second half full
    "posterior__ddrm__steps": 3,
    "posterior__pigdm__steps": 3,
    "posterior__dps__steps": 3,
    "posterior__smc__steps": 3,
    "posterior__smc__particles": 2,
    "posterior__replacement__steps": 3,
}


def result(workdir, stem):
    folder = workdir / "restore"
    with Image.open(folder / f"{stem}.png") as image:
        image.verify()
    with np.load(folder / f"{stem}.npz") as stored:
        return dict(stored), files.read_json(folder / f"{stem}.json")


def in_cells(pictures):
    """Digits as pixels, in [0, 1]: each level the middle of what stands for it."""
    return (np.round(pictures / 255.0 * 16) + 0.5) / 17


def test_known_pixels_are_kept_and_numbers_are_of_the_draws(small):
    code, workdir = small("subvp", "restore", **BRIEF, posterior__solver="ddrm")
    assert code == 0
    arrays, numbers = result(workdir, "box_ddrm_2")
    draws, truth = arrays["draws"], arrays["truth"]
    assert draws.shape == (3, 2, 8, 8, 1) and draws.dtype == truth.dtype == np.uint8
    known = np.ones((8, 8), bool)
    known[2:6, 2:6] = False
    for pictures in (draws[:, 0], draws[:, 1], arrays["degraded"], arrays["mean"]):
        np.testing.assert_array_equal(pictures[:, known], truth[:, known])
    assert (arrays["std"][:, known] < 1e-6).all() and (arrays["std"][:, ~known] > 0).any()
    assert len(np.unique(draws.reshape(6, -1), axis=0)) == 6  # and no image twice
    assert not np.array_equal(draws[2, 0], draws[2, 1])  # of the second batch
    assert numbers["draw"]["consistency"] < 1e-6  # of x as it was, not as pixels
    # Half a level of 17 is what pixels may be off the x that is measured by: 0.03 of 1.
    rms = np.sqrt(np.mean((draws / 255.0 - truth[:, None] / 255.0) ** 2, axis=(2, 3, 4)))
    assert abs(numbers["draw"]["psnr"] + 20 * np.log10(rms).mean()) < 1.5
    assert set(numbers["nearest"]) == SCORES == set(numbers["mean_colour"])
    first = data.load("digits", "train").images[:1000]  # one colour where nothing is known
    colour = (np.mean(first, dtype=np.float64) + 0.5) / 17
    cells = in_cells(truth)
    guessed = evaluation.psnr(np.where(known[..., None], cells, colour), cells).mean()
    assert numbers["mean_colour"]["psnr"] == pytest.approx(guessed, rel=1e-5)


RESTORE = importlib.import_module("scoresde_jax.verbs.restore")  # the package has its function
SCORES = {"psnr", "psnr_of_images", "ssim", "consistency"}


def test_gains_are_of_the_images_that_have_a_draw():
    ours = {"psnr_of_images": [20.0, None, 26.0, 20.0]}
    found = {"mean": ours, "nearest": {"psnr_of_images": [18.0, 1.0, 20.0, 19.0]}}
    # 2, 6 and 1: a mean of 3, a variance of 7.
    assert RESTORE._gains(found) == ["PSNR of mean less nearest: +3.00 +- 1.53 dB"]


def test_every_draw_is_of_its_image_and_has_noise_of_its_own():
    def draw(params, key, y):
        return jnp.concatenate([params * y, jax.random.normal(key, y.shape)], axis=-1), 7

    def drawn(seed):
        config = commands.tiny_config("subvp", **BRIEF, posterior__seed=seed)
        y = jnp.arange(3.0)[:, None, None, None] * jnp.ones((3, 2, 2, 1))
        return RESTORE._draws(draw, 2.0, y, config)

    found = drawn(0)
    assert found.x.shape == (3, 2, 2, 2, 2) and found.whole.all() and found.evaluations == 7
    for image, both in enumerate(found.x[..., 0]):
        np.testing.assert_array_equal(both, 2 * image)
    noise = [drawn(seed).x[..., 1] for seed in (0, 0, 1)]  # two batches each
    np.testing.assert_array_equal(noise[0], noise[1])
    assert len(np.unique(noise)) == 2 * 24


def test_what_is_past_black_or_white_counts_as_black_or_white():
    config = commands.tiny_config("subvp", **BRIEF, posterior__operator="average")
    x = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 2, 8, 8, 1)).astype(np.float32)
    operator, truth = operators.operator(config), jnp.asarray(x[:, 0]) / 2
    problem = RESTORE.Problem(operator, operator.forward(truth), truth)
    past, within = (
        RESTORE._scores(config, problem, images, np.ones((3, 2), bool))
        for images in (x, np.clip(x, -1, 1))
    )
    assert past["psnr"] == within["psnr"] and past["ssim"] == within["ssim"]
    assert past["consistency"] > within["consistency"]  # which is of x as it is
    restored = RESTORE.Restored(x, np.ones((3, 2), bool), 1)
    whole = np.array([[True, True], [True, False], [False, False]])
    each = RESTORE._scores(config, problem, x, whole)["psnr_of_images"]
    unit, wanted = np.clip((x + 1) / 2, 0, 1), np.clip((np.asarray(truth) + 1) / 2, 0, 1)
    psnr = evaluation.psnr(unit, wanted[:, None])
    assert each[:2] == pytest.approx([psnr[0].mean(), psnr[1, 0]], rel=1e-5) and each[2] is None
    expected = unit.std(axis=1)
    np.testing.assert_allclose(RESTORE._std(config, restored), expected, atol=1e-6)


def test_a_draw_that_is_lost_is_black_and_counts_nowhere(small, monkeypatch, capsys):
    make, draws = build.restorer, RESTORE._draws
    kept = []

    def keeping(*arguments):
        kept.append(draws(*arguments))
        return kept[-1]

    def losing(*arguments):
        found = make(*arguments)

        def sample(*at):
            drawn = found.sample(*at)
            return drawn._replace(x=drawn.x.at[3, 2, 2].set(np.nan))  # the second of image 1

        return found._replace(sample=sample)

    settings = BRIEF | {"posterior__solver": "ddrm"}
    monkeypatch.setattr(RESTORE, "_draws", keeping)
    assert small("subvp", "restore", **settings)[0] == 0
    monkeypatch.setattr(build, "restorer", losing)
    capsys.readouterr()
    code, workdir = small("subvp", "restore", **settings)
    assert code == 1
    assert "not finite, and black: (image, draw) [[1, 1]]" in capsys.readouterr().err
    arrays, numbers = result(workdir, "box_ddrm_2")
    assert numbers["not_finite"] == [[1, 1]] and not arrays["draws"][1, 1].any()
    np.testing.assert_array_equal(arrays["mean"][1], arrays["draws"][1, 0])
    assert not arrays["std"][1].any() and arrays["std"][0].any()

    others = ([0, 0, 1, 2, 2], [0, 1, 0, 0, 1])
    truth = in_cells(arrays["truth"])
    x = np.asarray(kept[0].x, np.float64)
    means = np.stack([x[0].mean(axis=0), x[1, 0], x[2].mean(axis=0)])
    unit, mean = (np.clip((images + 1) / 2, 0, 1) for images in (x, means))
    for name, measure in (("psnr", evaluation.psnr), ("ssim", evaluation.ssim)):
        expected = measure(unit, truth[:, None])[others].mean()
        assert numbers["draw"][name] == pytest.approx(expected, rel=1e-5)
        assert numbers["mean"][name] == pytest.approx(measure(mean, truth).mean(), rel=1e-5)
    stds = [unit[0].std(axis=0), 0 * unit[1, 0], unit[2].std(axis=0)]
    assert numbers["std"] == pytest.approx(np.mean(stds), rel=1e-5)
    assert numbers["draw"]["consistency"] < 1e-6  # black is far from y

    nothing = kept[0]._replace(x=np.full_like(kept[0].x, -1), whole=np.zeros((3, 2), bool))
    monkeypatch.setattr(RESTORE, "_draws", lambda *arguments: nothing)
    assert small("subvp", "restore", **settings)[0] == 1
    numbers = result(workdir, "box_ddrm_2")[1]
    assert numbers["draw"] == numbers["mean"] == {} and numbers["std"] is None
    assert set(numbers["nearest"]) == SCORES
    assert "mean less" not in capsys.readouterr().out


def test_pictures_that_are_too_many_are_spoken_of(tmp_path, capsys):
    pictures = np.linspace(0, 1, 5)[:, None, None] * np.ones((8, 8))
    np.save(tmp_path / "a.npy", pictures)
    file = str(tmp_path / "a.npy")
    np.testing.assert_allclose(RESTORE._given(file, 3)[..., 0], pictures[:3], atol=1e-6)
    assert "a.npy has 5 pictures; the first 3 are restored" in capsys.readouterr().err
    assert len(RESTORE._given(file, 5)) == 5 and not capsys.readouterr().err
    unlike = np.concatenate([pictures, np.full((1, 8, 8), np.nan)])
    np.save(tmp_path / "a.npy", unlike)  # of a file only what is restored is looked at
    assert len(RESTORE._given(file, 5)) == 5
    with pytest.raises(ValueError, match="values are from nan"):
        RESTORE._given(file, 6)


@pytest.mark.parametrize(
    ("most", "rows"), [(1, [0]), (3, [0, 2, 4]), (5, [0, 1, 2, 3, 4]), (8, [0, 1, 2, 3, 4])]
)
def test_images_are_from_all_over_the_set(most, rows):
    assert RESTORE._spread(most, 5).tolist() == rows


def restored(monkeypatch, workdir, file, **settings):
    monkeypatch.setattr(assemble, "_network", lambda section: SmallNetwork())
    config = commands.raw_config("subvp", training__steps=2, **(BRIEF | settings))
    return run_lib.run(config, mode="restore", workdir=workdir, input=str(file))


def test_a_small_picture_of_ones_own_is_restored(trained, tmp_path, monkeypatch):
    """Step by step, as CPUs do it."""
    workdir = shutil.copytree(trained("subvp"), tmp_path / "run")
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    Image.fromarray(picture).save(tmp_path / "small.png")
    settings = {"posterior__operator": "average", "posterior__input": "degraded"}
    assert restored(monkeypatch, workdir, tmp_path / "small.png", **settings) == 0
    arrays, numbers = result(workdir, "average_pigdm_2_small")
    assert arrays["draws"].shape == (1, 2, 8, 8, 1) and "truth" not in arrays
    np.testing.assert_allclose(
        arrays["y"][0, ..., 0], 2 * (picture / 255 * 16 + 0.5) / 17 - 1, atol=1e-6
    )
    assert set(numbers["draw"]) == {"consistency"} and numbers["evaluations"] == 4


@pytest.mark.parametrize(
    ("operator", "solver", "y_shape", "baselines"),
    [
        ("high_dynamic_range", "dps", (8, 8, 1), {"nearest", "mean_colour"}),
        ("phase_retrieval", "smc", (16, 9, 1), {"mean_colour"}),
    ],
)
def test_what_is_not_linear_is_restored(small, operator, solver, y_shape, baselines):
    """Step by step; what is clipped is a picture, magnitudes are shown by rank."""
    settings = {"posterior__operator": operator, "posterior__noise_std": 0.05}
    code, workdir = small("subvp", "restore", **BRIEF, **settings, posterior__solver=solver)
    assert code == 0
    arrays, numbers = result(workdir, f"{operator}_{solver}_2_noise0.05")
    assert arrays["y"].shape == (3, *y_shape) and arrays["degraded"].shape == (3, 8, 8, 1)
    assert arrays["draws"].shape == (3, 2, 8, 8, 1) and np.ptp(arrays["degraded"]) > 200
    assert baselines == {"nearest", "mean_colour"} & set(numbers)
    assert numbers["evaluations"] == (4 if solver == "dps" else 8)
    assert all(numbers[name]["consistency"] > 0.01 for name in (*baselines, "draw"))
    forward = forward_of(operators.operator(commands.tiny_config("subvp", **BRIEF, **settings)))
    noise = arrays["y"] - np.asarray(forward(jnp.asarray(2 * in_cells(arrays["truth"]) - 1)))
    # An rms of n normal numbers has a standard error of 1 / sqrt(2 n) of itself.
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.05, rel=4 / (2 * noise.size) ** 0.5)


@pytest.mark.parametrize(
    ("operator", "solver", "most"),
    [("box", "replacement", 2e-3), ("average", "ddrm", 1e-5), ("average", "pigdm", 2 / 17)],
)
def test_ve(small, operator, solver, most):
    """Noise of std 10 at the start, and alpha = 1 all the way: what is known is held as well.

    PiGDM but draws towards it, and what it leaves falls as 1 / steps: here within a level.
    """
    settings = {"posterior__operator": operator, "posterior__solver": solver}
    settings |= {"posterior__pigdm__steps": 30}
    code, workdir = small("ve", "restore", **BRIEF | settings)
    assert code == 0
    _, numbers = result(workdir, f"{operator}_{solver}_2")
    assert numbers["draw"]["consistency"] < most


def emoji(**settings):
    config = importlib.import_module("configs.vp.emoji").get_config("tiny")
    named = {name.replace("__", "."): value for name, value in settings.items()}
    config.update_from_flattened_dict(commands.SMALL | {"training.steps": 2} | named)
    return config


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """Settings -> arrays and numbers of a restoration of emoji, after two steps of training."""
    workdir = tmp_path_factory.mktemp("colour") / "run"
    assert run_quickly(emoji(), "train", workdir) == 0

    @functools.cache
    def restore(operator, solver, **settings):
        named = {f"posterior__{name}": value for name, value in settings.items()}
        named |= {"posterior__operator": operator, "posterior__solver": solver}
        assert run_quickly(emoji(**BRIEF, **named), "restore", workdir) == 0
        return result(workdir, f"{operator}_{solver}_2")

    return restore


def test_grey_pictures_are_coloured(colour):
    arrays, numbers = colour("gray", "ddrm")
    assert arrays["y"].shape == (3, 32, 32, 1) and arrays["draws"].shape == (3, 2, 32, 32, 3)
    assert numbers["draw"]["consistency"] < 1e-6
    grey = arrays["degraded"].astype(int)
    np.testing.assert_array_equal(np.ptp(grey, axis=3), 0)  # as red as green as blue
    # A mean of three levels is a third off at most; one is rounded, one cut.
    assert np.abs(grey[..., 0] - arrays["truth"].astype(int).mean(axis=3)).max() <= 1.5
    assert np.ptp(arrays["draws"].astype(int), axis=4).max() > 50  # and draws have colours


def test_small_colour_pictures_are_enlarged(colour):
    arrays, numbers = colour("bicubic", "pigdm", bicubic__factor=4)
    assert arrays["y"].shape == (3, 8, 8, 3) and arrays["draws"].shape == (3, 2, 32, 32, 3)
    shown = arrays["degraded"].reshape(3, 8, 4, 8, 4, 3)
    assert (shown == shown[:, :, :1, :, :1]).all()  # blocks of one colour
    # The mean colour, made to explain y, is the better guess: A^+ is smooth, blocks are not.
    assert numbers["mean_colour"]["psnr"] > numbers["nearest"]["psnr"] > 10


@pytest.mark.parametrize(
    ("name", "array", "settings", "message"),
    [
        ("a.npy", np.zeros((2, 9, 8), np.uint8), {}, r"\(9, 8, 1\); expected \(8, 8, 1\)"),
        ("a.npy", np.zeros((2, 8, 8, 3), np.uint8), {}, r"\(8, 8, 3\); expected \(8, 8, 1\)"),
        ("a.npy", np.full((2, 8, 8), 1.5), {}, "outside 0 to 1"),
        ("a.npy", np.zeros((2, 8, 8), np.int32), {}, "uint8 or floats"),
        ("a.png", None, {}, "is no file"),
        (
            "a.npy",
            np.zeros((8, 8)),
            {"posterior__operator": "hadamard", "posterior__input": "degraded"},
            "measures is no picture",
        ),
        (
            "a.npy",
            np.zeros((8, 8)),
            {"posterior__operator": "average", "posterior__input": "degraded"},
            r"\(8, 8, 1\); expected \(4, 4, 1\), what config.posterior.operator 'average' makes",
        ),
        (
            "a.npy",
            np.zeros((8, 8)),
            {
                "posterior__operator": "phase_retrieval",
                "posterior__input": "degraded",
                "posterior__solver": "dps",
            },
            "what 'phase_retrieval' measures is no picture",
        ),
        ("a.npy", np.zeros((8, 8)), {"posterior__input": "degarded"}, "known: original, degraded"),
        ("", None, {"posterior__input": "degraded"}, "name the file by --input"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, monkeypatch, name, array, settings, message):
    if array is not None:
        np.save(tmp_path / name, array)
    with pytest.raises(UserError, match=message):
        restored(monkeypatch, tmp_path / "run", name and tmp_path / name, **settings)
    assert not (tmp_path / "run").exists()


def test_input_is_of_this_mode_only():
    code, message = commands.run("--config", "configs/subvp/digits.py", "--input", "a.png")
    assert code == 2 and "--mode restore" in message
