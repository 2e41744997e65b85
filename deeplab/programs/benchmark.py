"""Measures what is asked for: `python -m deeplab.benchmark`."""

import tempfile

from deeplab import devices
from deeplab.benchmarks import published_costs, timing
from deeplab.benchmarks.export import print_export, print_networks, write_untrained
from deeplab.benchmarks.input import print_input
from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.programs import Programs, print_programs
from deeplab.benchmarks.scaling import BATCHES, print_scaling
from deeplab.benchmarks.several_devices import print_devices
from deeplab.benchmarks.startup import print_startup
from deeplab.benchmarks.training import SETTINGS, print_batches, print_training
from deeplab.config.benchmark import NETWORKS
from deeplab.config.export import ExportConfig
from deeplab.model.cost import count_multiply_adds
from deeplab.programs.draw import visualize
from deeplab.programs.evaluate import evaluate
from deeplab.programs.export import export
from deeplab.programs.predict import predict

_STARTUP_RUNS = 5  # at most; each takes half a minute
_PROGRAM_RUNS = 3  # at most; each takes a minute or more


@devices.as_configured
def benchmark(config):
    """Measures what `config`, a `BenchmarkConfig`, asks for, and prints it."""
    old = timing.load(config.compare) if config.compare else {}
    rows = []
    for wanted, measure in (
        (config.export, _export),
        (config.training, _training),
        (config.scaling, _scaling),
        (config.input, _input),
        (config.startup, _startup),
        (config.programs, _programs),
    ):
        if wanted:
            print(f"\n{timing.machine_line()}")
            rows += measure(config)
    if config.cost:
        print_costs(config.quick)
    if config.compare:
        print("\n".join(timing.comparison(old, rows)))
    if config.json:
        timing.save(config.json, rows)
        print(f"Wrote {config.json}")


def _export(config):
    if config.checkpoint_dir:
        return print_export(export, config.checkpoint_dir, config.size, config.runs, profile=config.profile_logdir)
    networks = {name: NETWORKS[name] for name in config.networks}
    return print_networks(export, networks, config.size, config.runs, config.profile_logdir)


def _training(config):
    if config.devices:
        return print_devices(config.devices, config.precisions, config.runs)
    chosen = (config.precisions, config.jit_compile, config.profile_logdir)
    return alone(print_training, config.runs, *chosen, logical_cpus=2)


def _scaling(config):
    crop = SETTINGS[0].crop
    rows = [row for name in config.networks for row in print_scaling(NETWORKS[name], name, config.runs)]
    return rows + [row for name in config.networks for row in print_batches(name, config.runs, crop, BATCHES)]


def _input(config):
    return print_input(config.quick)


def _programs(config):
    programs, runs = Programs(export, predict, evaluate, visualize), min(config.runs, _PROGRAM_RUNS)
    data = (config.dataset_dir, config.eval_split, config.images)
    if config.checkpoint_dir:
        return print_programs(programs, config.checkpoint_dir, data, runs)
    rows = []
    for name in config.networks:
        with tempfile.TemporaryDirectory() as folder:
            write_untrained(folder, NETWORKS[name])
            rows += print_programs(programs, folder, data, runs, name)
    return rows


def _startup(config):
    with tempfile.TemporaryDirectory() as folder:
        write_untrained(f"{folder}/train", NETWORKS["mobilenet_v2 + decoder"])
        export(ExportConfig(checkpoint_dir=f"{folder}/train", export_path=f"{folder}/export", verify=False))
        return print_startup(min(config.runs, _STARTUP_RUNS), f"{folder}/export/1", f"{folder}/train")


def print_costs(quick):
    """Prints the cost table, row by row as it is counted."""
    print("Billions of multiply-adds of one image. Published figures count atrous convolutions as space-to-batch;")
    print("those of MobileNet v3 look like float operations, and EdgeTPU's image size is not stated (513x513 fits).")
    print(f"\n{'network':42} {'stride':>6} {'size':>9} {'passes':>6} {'true':>9} {'as published':>12} {'published':>9}")
    for row in (*published_costs.PAPER, *published_costs.model_zoo()):
        passes = len(row.eval_scales) * (1 + row.add_flipped_images)
        if quick and passes > 1:
            continue
        true, alike = (count_multiply_adds(row.config, space_to_batch=how, **row.how) / 1e9 for how in (False, True))
        size = f"{row.size[0]}x{row.size[1]}"
        print(
            f"{row.name:42} {row.config.output_stride:6} {size:>9} {passes:6} {true:9.2f} {alike:12.2f} "
            f"{row.billions:9.2f}  {alike / row.billions - 1:+.1%}",
            flush=True,
        )
