"""`make demo`: trains the digits model, scores it, draws its pictures, and says what came out.

The same commands as for any model, one after the other, in runs/demo:
    python main.py --config configs/subvp/digits.py --workdir runs/demo --mode train
and --mode features, eval, sample, report; what eval measures are samples of 20 steps.
"""

import pathlib
import sys
import time

import run_lib
from configs.subvp import digits
from scoresde_jax import files, sharding

WORKDIR = pathlib.Path("runs/demo")
UNIFORM_BITS = 4.087  # log2 17, what knowing nothing costs


def main() -> int:
    """Runs the demo; returns the first exit code that is not zero."""
    sharding.split_cpu()
    began = time.monotonic()
    seconds = {}
    for mode in ("train", "features", "eval", "sample", "report"):
        print(f"--- {mode}", file=sys.stderr, flush=True)
        start = time.monotonic()
        config = digits.get_config()
        if mode == "eval":
            config.eval.enable_fid = True
            config.sampling.method = "grid"
            config.sampling.grid.update({"solver": "sde_dpm_solver_2m", "steps": 20})
        code = run_lib.command(config, mode=mode, workdir=WORKDIR, num_samples=64)
        seconds[mode] = time.monotonic() - start
        if code:
            print(f"the demo's folder is {WORKDIR}; remove it to start anew", file=sys.stderr)
            return code
    results = files.read_json(WORKDIR / "eval" / "results.json")
    bits, bound = results["bits_per_dim"], results["bits_per_dim_bound"]
    quality = files.read_json(WORKDIR / "eval" / "quality.json")
    distance = ", ".join(
        f"{name} {found['mean']:.2f} [{found['interval'][0]:.2f}, {found['interval'][1]:.2f}]"
        for name, found in quality["yardsticks"].items()
    )
    steps = ", ".join(f"{mode} {value:.0f} s" for mode, value in seconds.items())
    pictures = sorted(str(path) for path in WORKDIR.rglob("*.png"))
    print(f"""
A score-based model of 8x8 digits (sub-VP SDE), {results["checkpoint_step"]} training steps.
  time        {time.monotonic() - began:.0f} s ({steps})
  bits/dim    {bits["mean"]:.3f} +- {bits["standard_error"]:.3f} on {bits["images"]} test images \
(knowing nothing: {UNIFORM_BITS}), {bits["nfe"]["mean"]:.0f} evaluations per image
  bound       {bound["mean"]:.3f} +- {bound["standard_error"]:.3f} (of the reverse SDE; the line \
above is of the flow ODE)
  distance    {distance} (Frechet, in features of a digit classifier, \
from training images, sets of {quality["yardsticks"]["samples"]["images"]})
  report      {WORKDIR / "report.html"}
  pictures    {", ".join(pictures)}
  numbers     {WORKDIR / "eval" / "results.json"}, {WORKDIR / "metrics.jsonl"}
""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
