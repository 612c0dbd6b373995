"""Statistics files of every kind are read, and nothing in them is executed."""

import json
import pathlib
import pickle
import re

import numpy as np
import pytest

from scoresde_jax.evaluation import moments
from scoresde_jax.evaluation.provenance import Provenance
from scoresde_jax.evaluation.statistics_files import Statistics, read, write

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(20, 5)).astype(np.float32)
LOGITS = RNG.normal(size=(20, 7)).astype(np.float32)
MOMENTS = moments(FEATURES)
PROVENANCE = Provenance("digits", "abc", "none", "exact", 20, "digits/train")


def check(found, count=20):
    assert found.count == count
    np.testing.assert_allclose(found.mean, MOMENTS.mean, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, MOMENTS.covariance, rtol=1e-12, atol=1e-15)
    assert found.mean.dtype == found.covariance.dtype == np.float64


def test_ours_come_back(tmp_path):
    path = tmp_path / "deep" / "stats.npz"
    write(path, Statistics(MOMENTS, FEATURES, LOGITS, PROVENANCE))
    found = read(path)
    check(found.moments)
    np.testing.assert_array_equal(found.features, FEATURES)
    np.testing.assert_array_equal(found.logits, LOGITS)
    assert found.provenance == PROVENANCE
    with np.load(path) as file:  # as other programs see it
        np.testing.assert_array_equal(file["mu"], MOMENTS.mean)
        np.testing.assert_array_equal(file["sigma"], MOMENTS.covariance)
        assert json.loads(file["provenance"].tobytes())["source"] == "digits/train"
    assert list(path.parent.iterdir()) == [path]


def test_moments_alone_come_back(tmp_path):
    write(tmp_path / "stats.npz", Statistics(MOMENTS._replace(count=None)))
    found = read(tmp_path / "stats.npz")
    check(found.moments, None)
    assert found[1:] == (None, None, None)


# What each program calls its arrays.
KINDS = {
    "score_sde": {"pool_3": FEATURES, "logits": LOGITS},
    "score_sde of the hub": {"pool_3": FEATURES[:, None, None]},
    "clean-fid kid": {"feats": FEATURES},
    "own": {"features": FEATURES},
    "own with more": {"features": FEATURES, "names": np.array(["a"])},
}


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_other_programs(tmp_path, kind):
    np.savez(tmp_path / "f.npz", **KINDS[kind])
    found = read(tmp_path / "f.npz")
    check(found.moments)
    np.testing.assert_array_equal(found.features, FEATURES)
    assert found.provenance is None
    if kind == "score_sde":
        np.testing.assert_array_equal(found.logits, LOGITS)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_of_edm_and_clean_fid(tmp_path, dtype):
    mu, sigma = MOMENTS.mean.astype(dtype), MOMENTS.covariance.astype(dtype)
    np.savez_compressed(tmp_path / "f.npz", mu=mu, sigma=sigma)
    found = read(tmp_path / "f.npz")
    assert found.features is None and found.moments.count is None
    np.testing.assert_array_equal(found.moments.mean, mu)
    np.testing.assert_array_equal(found.moments.covariance, sigma)


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def hostile(tmp_path):
    return np.array([Hostile(tmp_path / "owned")], dtype=object)


def bad_files(tmp_path):
    """Name -> what makes the file, and what the message says."""

    def npz(**arrays):
        return lambda path: np.savez(path, **arrays)

    sigma = MOMENTS.covariance
    whole = tmp_path / "whole.npz"
    np.savez(whole, mu=MOMENTS.mean, sigma=sigma)
    return {
        "pickled array": (npz(mu=hostile(tmp_path), sigma=sigma), "Python objects, which are not"),
        "pickle": (
            lambda path: path.write_bytes(pickle.dumps(Hostile(tmp_path / "owned"))),
            "no whole .npz",
        ),
        "cut short": (lambda path: path.write_bytes(whole.read_bytes()[:-50]), "no whole .npz"),
        "empty": (lambda path: path.write_bytes(b""), "no whole .npz"),
        "one array": (lambda path: path.write_bytes(npy(sigma)), "no whole .npz"),
        "others": (npz(samples=FEATURES), "it holds samples"),
        "half": (npz(mu=MOMENTS.mean), "it holds mu"),
        "unlike": (npz(mu=MOMENTS.mean[:4], sigma=sigma), r"mu is \(4,\) and sigma \(5, 5\)"),
        "nan": (npz(mu=MOMENTS.mean * np.nan, sigma=sigma), "not finite"),
        "asymmetric": (npz(mu=MOMENTS.mean, sigma=np.triu(sigma)), "not symmetric"),
        "features of others": (
            npz(mu=MOMENTS.mean, sigma=sigma, features=FEATURES[:, :3]),
            r"features are \(20, 3\), and mu is \(5,\)",
        ),
        "one image": (npz(features=FEATURES[:1]), "two examples or more"),
        "provenance": (
            npz(mu=MOMENTS.mean, sigma=sigma, provenance=np.frombuffer(b"{}", np.uint8)),
            "a provenance has the keys",
        ),
        "no json": (
            npz(mu=MOMENTS.mean, sigma=sigma, provenance=np.frombuffer(b"{", np.uint8)),
            "Expecting",
        ),
    }


def npy(array):
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_bad_files_give_one_error_and_run_nothing(tmp_path):
    for name, (make, message) in bad_files(tmp_path).items():
        path = tmp_path / f"{name}.npz"
        make(path)
        wanted = f"{re.escape(str(path))} is no statistics file: .*{message}.*--mode stats"
        with pytest.raises(ValueError, match=wanted):
            read(path)
    assert not (tmp_path / "owned").exists()


def test_a_flipped_byte_is_found_or_does_not_matter(tmp_path):
    path = tmp_path / "stats.npz"
    few, logits = FEATURES[:3], LOGITS[:3]
    mean, covariance, count = moments(few)
    write(path, Statistics(moments(few), few, logits, PROVENANCE))
    whole, unharmed = path.read_bytes(), 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        try:
            found = read(path)
        except ValueError as error:
            assert "no statistics file" in str(error)
            continue
        assert np.array_equal(found.moments.mean, mean)
        assert np.array_equal(found.moments.covariance, covariance)
        # An array whose name in the archive's table is flipped is one that nobody knows.
        optional = (found.moments.count, *found[1:])
        for value, stored in zip(optional, (count, few, logits, PROVENANCE), strict=True):
            assert value is None or np.array_equal(value, stored)
        unharmed += all(value is not None for value in optional)
    assert unharmed > 0  # dates and the like


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.npz")
