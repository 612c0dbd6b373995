"""The report of a workdir: before and after it is scored."""

import html_pages
import numpy as np
from PIL import Image

from scoresde_jax import evaluation, files


def report(workdir):
    return html_pages.Page((workdir / "report.html").read_text())


def test_a_report_holds_all_there_is(small):
    code, workdir = small("linear_ve", "report")
    assert code == 0
    before = report(workdir)
    assert before.addresses == []
    assert before.headings == [
        *("Results", "Training", "Samples", "Samples against real images", "Likelihood"),
        *("Samplers", "Settings", "Environment"),
    ]
    assert before.text.count("Not there yet") == 4 and "--mode sweep makes it" in before.text
    # Curves, the snapshot, and noise becoming images.
    assert len(before.pictures) == 3
    assert (workdir / "samples" / "denoising_2.png").exists()

    measured = {"eval__enable_fid": True, "eval__num_samples": 12}
    assert small("linear_ve", "eval", **measured)[0] == small("linear_ve", "sample")[0] == 0
    assert small("linear_ve", "report")[0] == 0
    after = report(workdir)
    assert after.text.count("Not there yet") == 1 and after.addresses == []
    assert len(after.pictures) == 5
    mean = files.read_json(workdir / "eval" / "results.json")["bits_per_dim"]["mean"]
    assert f"{mean:.4g} ±" in after.text and "dequantization uniform" in after.text
    quality = files.read_json(workdir / "eval" / "quality.json")
    assert f"{quality['frechet_distance']['mean']:.4g}" in after.text
    assert quality["provenance"]["extractor_hash"] in after.text
    with Image.open(workdir / "eval" / "bpd.png") as image:
        assert any(np.array_equal(np.asarray(image), picture) for picture in after.pictures)


def test_what_was_restored_and_encoded_is_shown(small):
    brief = {"posterior__images": 2, "posterior__draws": 1, "posterior__batch_size": 4}
    settings = brief | {"posterior__ddrm__steps": 2, "posterior__solver": "ddrm"}
    code, workdir = small("subvp", "restore", **settings)
    assert code == 0
    strips = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 8, 1), np.uint8)
    grid = evaluation.image_grid(strips.reshape(-1, 8, 8, 1), columns=9)
    for name in ("interpolation_1", "interpolation_2", "reconstruction_2"):
        evaluation.save_png(workdir / "samples" / f"{name}.png", grid)
    loss = {"mean": 1.0, "standard_error": 0.1, "images": 297}
    unknown = {"mean": None, "standard_error": None}
    scores = {"checkpoint_step": 2, "evaluation_loss": loss, "bits_per_dim": unknown}
    files.write_json(workdir / "eval" / "results.json", scores | {"not_converged": [3, 5]})
    line = {"mean": 6.125, "standard_error": 0.5}
    fid = {"mean": 7.5, "standard_error": 0.25, "extrapolated": line}
    measured = {"frechet_distance": fid, "not_converged": [4], "provenance": {"images": 12}}
    measured["provenance"]["step"] = 1
    files.write_json(workdir / "eval" / "quality.json", measured)
    assert small("subvp", "report")[0] == 0
    found = report(workdir)
    for step in ("1", "9", "10"):  # as of a range of checkpoints, which are later
        for name in ("results.json", "quality.json"):
            later = files.read_json(workdir / "eval" / name)
            files.write_json(workdir / "eval" / step / name, later | {"checkpoint_step": int(step)})
    # What did not converge is said, above the numbers and where the histogram would be.
    assert found.text.count("2 test images did not converge, first number 3.") == 2
    assert found.text.count("1 samples did not converge, first number 4.") == 1
    assert found.text.count("Not there yet") == 1 and "Of step 1." in found.text
    for shown in ("± 0.25", "the same, of infinitely many", "6.125", "± 0.5"):
        assert shown in found.text
    assert "Restored images" in found.headings and found.addresses == []
    assert found.text.count("the flow has between them, step 2") == 1
    assert "the flow has between them, step 1" not in found.text  # the newest alone
    assert "each beside what the flow makes of its latents, step 2" in found.text
    numbers = files.read_json(workdir / "restore" / "box_ddrm_2.json")
    assert "box, by ddrm, step 2; images: 2, draws of each: 1" in found.text
    for kind in ("draw", "mean", "nearest", "mean_colour"):
        for name in ("psnr", "ssim", "consistency"):
            assert f"{numbers[kind][name]:.3g}" in found.text
    with Image.open(workdir / "restore" / "box_ddrm_2.png") as image:
        assert any(np.array_equal(np.asarray(image), picture) for picture in found.pictures)
    (workdir / "eval" / "results.json").unlink()
    assert small("subvp", "report")[0] == 0
    assert "Of step 10." in report(workdir).text
