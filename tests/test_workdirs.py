"""What begins a workdir is whole, or leaves nothing; the rest is tested by the verbs."""

import commands
import numpy as np
import pytest

from scoresde_jax import build, files, sharding, tasks, training, workdirs

TX = training.adam(lambda step: 0.1)
CONFIG = {"model": {"features": 8}}


def state(step=3):
    params = {"w": np.ones(3, np.float32)}
    return training.resumed(
        TX, step=step, params=params, ema_params=params, count=step, mu=params, nu=params
    )


def begin(workdir):
    workdirs.begin(workdir, state(), config=CONFIG, data={"next_index": 3})


@pytest.mark.parametrize("there", [False, True])
def test_a_workdir_begun(tmp_path, there):
    workdir = tmp_path / "runs" / "x"
    if there:
        (workdir / "checkpoints").mkdir(parents=True)
        (workdir / "notes.txt").write_text("mine")
    begin(workdir)
    names = sorted(path.name for path in workdir.iterdir())
    assert names == ["checkpoints", "config.json"] + ["notes.txt"] * there
    assert files.read_json(workdir / "config.json") == CONFIG
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    assert checkpoints.latest_step() == 3
    assert checkpoints.meta(3) == {"config": CONFIG, "data": {"next_index": 3}}
    assert (workdir / "checkpoints").stat().st_mode == workdir.stat().st_mode  # not a private one
    checkpoints.close()
    assert not [path for path in tmp_path.rglob(".*")]
    with pytest.raises(ValueError, match=f"{workdir} has a checkpoint already, of step 3"):
        workdirs.check_new(workdir)


def chosen(workdir, which, wait=0.0):
    return list(workdirs.chosen_steps(workdir, which, wait))


def test_checkpoints_are_chosen_by_step_and_by_loss(tmp_path):
    checkpoints = training.Checkpoints(tmp_path / "checkpoints", keep=9)
    for step in (2, 4, 6):
        checkpoints.save(state(step), config=CONFIG, data={})
    checkpoints.close()
    with pytest.raises(ValueError, match=r"steps \[2, 4, 6\].*has an evaluation loss"):
        chosen(tmp_path, "best")
    records = training.Records(tmp_path, start=0)
    for step, loss in ((2, 0.3), (3, 0.1), (4, 0.2), (6, 0.5)):
        records.write(step, {"eval_loss": loss})
    records.close()
    assert chosen(tmp_path, "latest") == [None]
    assert chosen(tmp_path, "best") == [4]
    assert chosen(tmp_path, "2..4") == [2, 4] and chosen(tmp_path, "3..99") == [4, 6]
    for which, message in (("7..9", "within config.eval.checkpoint=7..9"), ("9..7", "a range")):
        with pytest.raises(ValueError, match=message):
            chosen(tmp_path, which)


def test_a_checkpoint_that_training_has_deleted_meanwhile(tmp_path):
    config = commands.tiny_config("subvp")
    task = tasks.score_task(build.experiment(config), config)
    checkpoints = training.Checkpoints(tmp_path / "checkpoints", keep=1)
    for step in (2, 4):
        checkpoints.save(state(step), config=CONFIG, data={})
        checkpoints.wait()
    checkpoints.close()
    said = r"no checkpoint of step 2 any more, only of \[4\].*config.training.keep_checkpoints"
    with pytest.raises(ValueError, match=said):
        workdirs.open_run(task, config, tmp_path, sharding.device_mesh(), step=2)


def test_a_checkpoint_of_a_range_is_waited_for(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    checkpoints = training.Checkpoints(folder)
    checkpoints.save(state(2), config=CONFIG, data={})
    checkpoints.wait()
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            checkpoints.save(state(4), config=CONFIG, data={})
            checkpoints.wait()

    monkeypatch.setattr(workdirs.time, "sleep", nap)
    assert chosen(tmp_path, "1..4", wait=60) == [2, 4] and naps == [5, 5]
    assert chosen(tmp_path, "1..9", wait=12) == [2, 4] and naps[2:] == [5, 5, 2]
    checkpoints.close()


@pytest.mark.parametrize("failing", ["save", "close"])
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, failing):
    real = getattr(training.Checkpoints, failing)

    def fail(self, *arguments, **options):
        real(self, *arguments, **options)
        self.wait()
        raise OSError("No space left on device")

    monkeypatch.setattr(training.Checkpoints, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        begin(tmp_path / "runs" / "x")
    assert not list(tmp_path.iterdir())


MEANING = ("sde", "parameterization", "model", "data")


def test_stored_sections_that_are_not_there_are_not_compared():
    config = commands.tiny_config("subvp")
    stored = files.plain(config.to_dict())
    workdirs.check_same_model(config, stored, MEANING, "it holds weights", "")
    workdirs.check_same_model(config, {}, MEANING, "it holds weights", "")
    stored["model"] |= {"dtype": "bfloat16", "remat_resolutions": [8]}  # how, not what
    stored["data"]["data_dir"] = "/elsewhere"
    workdirs.check_same_model(config, stored, MEANING, "it holds weights", "")
    stored["model"]["features"] = 16
    stored["training"]["batch_size"] = 1  # of no matter
    with pytest.raises(ValueError) as caught:
        workdirs.check_same_model(config, stored, MEANING, "it holds weights", "Mind this.")
    message = "it holds weights of another model: config.model.features is 8, was 16. Mind this."
    assert str(caught.value) == message
