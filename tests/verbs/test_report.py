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
        *("Results", "Training", "Samples", "Likelihood", "Samplers", "Settings", "Environment")
    ]
    assert before.text.count("Not there yet") == 3 and "--mode sweep makes it" in before.text
    # Curves, the snapshot, and noise becoming images.
    assert len(before.pictures) == 3
    assert (workdir / "samples" / "denoising_2.png").exists()

    assert small("linear_ve", "eval")[0] == small("linear_ve", "sample")[0] == 0
    assert small("linear_ve", "report")[0] == 0
    after = report(workdir)
    assert after.text.count("Not there yet") == 1 and after.addresses == []
    assert len(after.pictures) == 5
    mean = files.read_json(workdir / "eval" / "results.json")["bits_per_dim"]["mean"]
    assert f"{mean:.4g} ±" in after.text and "dequantization uniform" in after.text
    with Image.open(workdir / "eval" / "bpd.png") as image:
        assert any(np.array_equal(np.asarray(image), picture) for picture in after.pictures)
