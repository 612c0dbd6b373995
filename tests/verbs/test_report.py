"""The report of a workdir: before and after it is scored."""

import html_pages
import numpy as np
from PIL import Image

from scoresde_jax import files


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
