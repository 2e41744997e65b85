"""Packaging of deeplab: `pip install .` for using it, `pip install -e ".[test]"` for working on it."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
_SOURCE = (ROOT / "deeplab" / "__init__.py").read_text("utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', _SOURCE, re.MULTILINE)[1]
# The name of the distribution. The module is `deeplab`, a name that a stranger's package bears on the index.
DISTRIBUTION = re.search(r'^DISTRIBUTION = "(.+)"', _SOURCE, re.MULTILINE)[1]
TENSORFLOW = ">=2.20,<2.22"  # Keras 3 in the versions that the tests run with

REQUIREMENTS = [
    f"tensorflow{TENSORFLOW}",  # the networks, training, TFRecords, SavedModels
    "tensorflow-datasets>=4.9.7",  # --dataset=tfds:NAME, and the metadata beside our shards
    "numpy>=1.26",  # arrays at every edge: labels, confusion matrices, pictures
    "h5py>=3.10",  # weights files of keras.applications
    "absl-py>=2.1",  # flags with the reference's syntax, --flagfile included
    "pillow>=10.3",  # palettes, EXIF and pictures with text, which tf.io does not do
    "tifffile>=2024.1.30",  # TIFFs of many bands, 16 bits and floats, of which Pillow reads few; needs NumPy alone
    "pyyaml>=6.0",  # data.yaml of YOLO data sets
    "tqdm>=4.66",  # progress bars
    "tensorboard>=2.20,<2.22",  # reads what training writes; tensorflow-cpu does not bring it
]
SERVE = [
    "starlette>=0.40",
    "anyio>=4.0",  # time limits that end what a request does; starlette brings it
    "uvicorn>=0.30",
    "h11>=0.14",  # HTTP/1.1 itself, which uvicorn brings; the server reads it more strictly
    "prometheus-client>=0.20",
    "orjson>=3.10",  # writes the labels of 513x513 pixels in 2 in place of 24 ms, during which no other thread runs
]
POLYGONS = ["contourpy>=1.3"]  # outlines of labels with their holes; 0.4 MB, needs NumPy alone
VIDEO = ["av>=14.2"]  # video in and out with its codecs inside the wheel
EXPORT = [
    "ai-edge-litert>=2.1",  # runs .tflite files (tf.lite.Interpreter is being removed)
    "tf2onnx>=1.17",  # SavedModel -> ONNX
    "onnxruntime>=1.20",  # runs it
    "openvino>=2025.0",  # converts and runs SavedModels
    "nncf>=3.4",  # int8 for OpenVINO; 90 MB with what it needs (scikit-learn, NetworkX), SciPy not counted
]
WANDB = ["wandb>=0.21"]  # the client of Weights & Biases, with settings that tell nothing about the machine
MLFLOW = ["mlflow-skinny>=3.1"]  # MLflow's client alone: no server, no SQL, no pandas
EXTRAS = {
    "gpu": [f"tensorflow[and-cuda]{TENSORFLOW}"],  # CUDA, cuDNN and NCCL as wheels: only the driver is the machine's
    # 2.20 is the newest TensorFlow with a TPU build. It replaces the files of `tensorflow`, so install it last:
    # pip install ".[tpu]" && pip install --force-reinstall --no-deps tensorflow-tpu==2.20.0
    "tpu": ["tensorflow==2.20.0", "tensorflow-tpu==2.20.0", "tf_keras==2.20.1"],
    "serve": SERVE,  # python -m deeplab.serve
    "export": EXPORT,
    "video": VIDEO,
    "polygons": POLYGONS,  # Result.polygons, predict --write=coco and so on
    "wandb": WANDB,  # --tracker=wandb
    "mlflow": MLFLOW,  # --tracker=mlflow
    "test": [
        *WANDB,
        *MLFLOW,
        *SERVE,
        *VIDEO,
        *POLYGONS,
        *EXPORT,
        "pytest==9.2.0",
        "pytest-xdist==3.8.0",  # two workers
        "ruff==0.17.5",  # pinned: another version formats otherwise
        "scipy>=1.11",  # an independent oracle for distances and resizes
        "tf_keras>=2.20,<2.22",  # the step also runs under TF_USE_LEGACY_KERAS=1
        "tensorflow-serving-api>=2.20",  # the messages that a client sends
        "build>=1.2",  # the wheel that test_packaging looks into,
        "setuptools>=70.1",  # made without a download
        "mypy>=1.13",  # the type hints of the public names
        "hypothesis>=6.100",  # files and requests nobody thought of: only errors that say what to do may come of them
    ],
}
ENTRY_POINTS = ("train", "eval", "vis", "export", "predict", "benchmark", "serve")

setup(
    name=DISTRIBUTION,
    version=VERSION,
    description="DeepLabv3+ for TensorFlow 2: data, training, evaluation, pictures, export",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # Not `datasets`: as a top-level package it would shadow the Hugging Face library of that name.
    packages=find_packages(include=["deeplab", "deeplab.*"]),
    package_data={"deeplab": ["**/*.json", "**/*.html", "**/*.flags", "**/*.pyi", "py.typed"]},
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "deeplab = deeplab.__main__:main",
            *(f"deeplab-{name} = deeplab.{name}:main" for name in ENTRY_POINTS),
        ]
    },
)
