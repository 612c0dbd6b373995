"""The golden files pass, and the checker finds what is wrong, missing or unknown."""

import json
import shutil

import numpy as np
import pytest

from tests.golden import check, golden

FILES = sorted(check.find(golden.HERE))
NAMES = [path.relative_to(golden.HERE).as_posix() for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_file_passes_and_would_not_if_any_of_its_arrays_were_scaled(path):
    item, troubles = check.run(path)
    assert troubles == []
    assert item.comparisons
    noticed = {c.name.split(" ")[0] for c in item.comparisons if c.notices_scaling}
    zero = {name for name, array in item.golden.arrays.items() if not np.any(array)}
    assert {c.name.split(" ")[0] for c in item.comparisons} <= noticed | zero


def test_there_is_every_kind():
    folders = {name.partition("/")[0] for name in NAMES}
    assert folders == {*check.KINDS, check.COUNTS}


@pytest.fixture
def folder(tmp_path):
    """A copy of one small file."""
    for ending in (".json", ".npz"):
        shutil.copy(golden.HERE / f"l_score_flow/vp{ending}", tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Changes the arrays of the copy."""
    with np.load(folder / "vp.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(folder / "vp.npz", **arrays)


def lines(capsys, folder):
    code = check.main([str(folder), "--jobs", "1"])
    return code, capsys.readouterr().out.splitlines()


def test_a_file_out_of_its_folder_is_known_by_its_maker(folder, capsys):
    code, printed = lines(capsys, folder)
    assert code == 0 and len(printed) == 2
    assert printed[0].startswith("vp ") and printed[0].endswith(" ok")
    assert printed[1] == "1 passed, 0 failed"


@pytest.mark.parametrize("name", ["std", "Z/eps=0.001", "u"])
def test_a_scaled_array_fails(folder, capsys, name):
    rewrite(folder, lambda arrays: arrays.update({name: arrays[name] * np.float32(1.01)}))
    code, printed = lines(capsys, folder)
    assert code == 1 and printed[0].endswith(" FAILED")
    assert "tolerance" in printed[1] and printed[-1] == "0 passed, 1 failed"


def test_an_array_that_is_not_compared_fails(folder, capsys):
    rewrite(folder, lambda arrays: arrays.update({"new_thing": np.ones(3)}))
    code, printed = lines(capsys, folder)
    assert code == 1 and "    new_thing is not compared" in printed


def test_nan_fails(folder, capsys):
    rewrite(folder, lambda arrays: arrays["std"].fill(np.nan))
    assert lines(capsys, folder)[0] == 1


def test_another_shape_fails(folder, capsys):
    rewrite(folder, lambda arrays: arrays.update({"std": arrays["std"][:-1]}))
    code, printed = lines(capsys, folder)
    assert code == 1 and "shape" in printed[1]


def test_an_unknown_kind_and_arrays_without_a_json_fail(folder, capsys):
    meta = json.loads((folder / "vp.json").read_text())
    (folder / "vp.json").write_text(json.dumps(meta | {"produced_by": "somebody"}))
    shutil.copy(folder / "vp.npz", folder / "alone.npz")
    code, printed = lines(capsys, folder)
    assert code == 1 and printed[-1] == "0 passed, 2 failed"
    assert any("has no JSON beside it" in text for text in printed)
    assert any("neither its folder nor its produced_by" in text for text in printed)


def test_a_config_of_another_size_fails(tmp_path, capsys):
    counts = json.loads((golden.HERE / check.COUNTS).read_text())
    rows = {name: counts["rows"][name] for name in ("vp/ddpm/cifar10", "ve/ncsn/cifar10")}
    rows["vp/ddpm/cifar10"]["params"] += 1
    rows["ve/ncsn/cifar10"]["snr"] = 0.3
    rows["vp/nowhere"] = rows["vp/ddpm/cifar10"]
    (tmp_path / check.COUNTS).write_text(json.dumps(counts | {"rows": rows}))
    code, printed = lines(capsys, tmp_path)
    assert code == 1
    assert "    vp/ddpm/cifar10: params is 35218948, ours 35218947" in printed
    assert "    ve/ncsn/cifar10: snr is 0.3, ours 0.316" in printed
    assert any("vp/nowhere: docs/configs.md does not say" in text for text in printed)


def test_an_empty_folder_and_no_folder_fail(tmp_path, capsys):
    assert lines(capsys, tmp_path)[0] == 1
    with pytest.raises(SystemExit) as stop:
        check.main([str(tmp_path / "nowhere")])
    assert stop.value.code == 2
