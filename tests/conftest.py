"""Four simulated CPU devices for every test, and programs that compile soon rather than run fast.

Set here because jax reads it when it is imported.
"""

import os

DEVICES = "--xla_force_host_platform_device_count"
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
flags = os.environ.get("XLA_FLAGS", "")
if DEVICES not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} {DEVICES}=4 {QUICK}".strip()
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402

# A folder for compiled programs; a second run of the same tests then compiles nothing.
if cache := os.environ.get("SCORESDE_TEST_CACHE"):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
