"""Measures what networks cost and how fast input and exports are.

    python -m deeplab.benchmark --cost

prints the multiply-adds of the published networks as we count them beside the figures that were published.

    python -m deeplab.benchmark --input

prints the images per second of the input pipeline beside the naive order of steps and decoding alone.

    python -m deeplab.benchmark --export --checkpoint_dir=TRAIN_LOGDIR --size=513,513

prints the time of one image in SavedModels, TFLite, ONNX Runtime and OpenVINO, whichever are installed.
"""

from deeplab import cli
from deeplab.config.benchmark import BenchmarkConfig
from deeplab.errors import UserError


def benchmark(config):
    """Measures what `config`, a `BenchmarkConfig`, asks for, and prints it."""
    if not (config.cost or config.input or config.export):
        raise UserError("nothing to measure: give --cost, --input or --export")
    if config.export:
        from deeplab.benchmark_export import print_export
        from deeplab.export import export

        print_export(export, config.checkpoint_dir, config.size, config.runs)
    if config.input:
        from deeplab.benchmark_input import print_input

        print_input(config.quick)
    if config.cost:
        print_costs(config.quick)


def print_costs(quick):
    """Prints the cost table, row by row as it is counted."""
    from deeplab import cost_table, count_multiply_adds

    print("Billions of multiply-adds of one image. Published figures count atrous convolutions as space-to-batch;")
    print("those of MobileNet v3 look like float operations, and EdgeTPU's image size is not stated (513x513 fits).")
    print(f"\n{'network':42} {'stride':>6} {'size':>9} {'passes':>6} {'true':>9} {'as published':>12} {'published':>9}")
    for row in (*cost_table.PAPER, *cost_table.model_zoo()):
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


def main():
    cli.main(benchmark, BenchmarkConfig)


if __name__ == "__main__":
    main()
