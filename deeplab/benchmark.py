"""Measures the cost of networks and the speed of programs and their parts, each beside the best alternative.

    python -m deeplab.benchmark --cost        multiply-adds of the published networks, and the published numbers
    python -m deeplab.benchmark --input       the input pipeline, the naive order of its steps, and decoding alone
    python -m deeplab.benchmark --export      one image in SavedModels, TFLite, ONNX Runtime and OpenVINO
    python -m deeplab.benchmark --training    a training step, Keras' fit, and a training step on two devices;
                                              with --devices=1,2,4,8 on these numbers of devices
    python -m deeplab.benchmark --scaling     growth of times with image size, output stride, passes and batch size
    python -m deeplab.benchmark --programs    predict, eval, vis and the server, beside the exported network alone
    python -m deeplab.benchmark --startup     seconds until --help, the first training step and the first answer

The candidates take turns, so that ratios hold on a busy machine. The program prints medians and quartiles. --json=FILE
keeps the results, and --compare=FILE prints earlier results beside them. Write `taskset -c 0` before the command to
measure on one core.
"""

from deeplab import cli
from deeplab.config.benchmark import BenchmarkConfig


def benchmark(config):
    """Measures what `config`, a `BenchmarkConfig`, selects, and prints the results."""
    from deeplab.programs import benchmark as program

    return program.benchmark(config)


def main():
    cli.main(benchmark, BenchmarkConfig)


if __name__ == "__main__":
    main()
