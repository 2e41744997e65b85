"""The type that a training computes in: what `--mixed_precision=auto` means on the machine at hand.

The choice is made once. config.json stores it, and a training that is resumed keeps it, also on another machine,
because a training that changed its type on the way would end with weights that no single command produces.
"""

import dataclasses

import tensorflow as tf

from deeplab import devices
from deeplab.config.training import AUTO_PRECISION, MIXED_PRECISIONS
from deeplab.training import run_folder

# Instructions with which a step was faster than in float32. On two cores with AVX512_BF16 and without AMX, a step of
# mobilenet_v2 and one of xception_65 took 0.8 of their time in float32.
_PAYS = ("amx_bf16", "avx512_bf16")


def choose(config, strategy):
    """Decides what "auto" stands for, before anything is built, and prints it.

    Args:
      config: the TrainConfig.
      strategy: the tf.distribute strategy of the training, which has made TensorFlow see all devices.

    Returns:
      `config` with one of MIXED_PRECISIONS for `mixed_precision`.
    """
    if config.run.mixed_precision != AUTO_PRECISION:
        return config
    chosen, reason = _decide(strategy, devices.bfloat16(), _earlier(config.train_logdir))
    if devices.is_chief(strategy):
        print(f"mixed_precision={AUTO_PRECISION}: {chosen}, {reason}", flush=True)
    return dataclasses.replace(config, run=dataclasses.replace(config.run, mixed_precision=chosen))


def _decide(strategy, support, earlier):
    """Returns (one of MIXED_PRECISIONS, why) for a `devices.Bfloat16`; `earlier` as from `_earlier`."""
    if earlier is not None:
        slower = f", although {support.told} and a step takes longer" if not support.is_computed else ""
        return earlier, "as this training did before (config.json)" + slower * (earlier == "bfloat16")
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return "none", "because several machines train, which may differ; --mixed_precision=bfloat16 chooses it"
    if support.feature not in (None, *_PAYS):
        unknown = f"because a step was never measured on a processor with {support.feature} alone"
        return "none", f"{unknown}; --mixed_precision=bfloat16 chooses it"
    return "bfloat16" if support.is_computed else "none", f"because {support.told}"


def _earlier(folder):
    """Returns the type of the training that would be resumed in a train_logdir, or None if there is none."""
    recorded = run_folder.read_config(folder) if run_folder.holds_checkpoint(folder) else None
    value = run_folder.recorded_run(recorded).get("mixed_precision")
    return value if value in MIXED_PRECISIONS else None
