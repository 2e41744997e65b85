"""Measures what networks cost, and how fast input, exports and training are, each beside the best alternative.

    python -m deeplab.benchmark --cost        multiply-adds of the published networks beside the published figures
    python -m deeplab.benchmark --input       the input pipeline beside the naive order of steps and decoding alone
    python -m deeplab.benchmark --export      one image in SavedModels, TFLite, ONNX Runtime and OpenVINO
    python -m deeplab.benchmark --training    a training step beside Keras' fit, and on two devices
    python -m deeplab.benchmark --scaling     time against pixels, output stride, passes and batch, of training, too
    python -m deeplab.benchmark --startup     seconds until --help, the first step, the first answer

Contenders take turns, so that ratios hold on a busy machine; median and quartiles are printed. --json=FILE keeps the
figures, --compare=FILE prints them beside earlier ones. `taskset -c 0` before the command measures one core.
"""

from deeplab import cli
from deeplab.config.benchmark import BenchmarkConfig


def benchmark(config):
    """Measures what `config`, a `BenchmarkConfig`, asks for, and prints it."""
    from deeplab.programs import benchmark as program

    return program.benchmark(config)


def main():
    cli.main(benchmark, BenchmarkConfig)


if __name__ == "__main__":
    main()
