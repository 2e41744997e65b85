"""Training steps as a GPU would trace them, and what can be known of such a graph without a GPU."""

import contextlib
from unittest import mock

import tensorflow as tf
from keras import StatelessScope
from tensorflow.python.eager.polymorphic_function import compiler_ir
from tensorflow.python.framework import config
from tensorflow.python.framework import kernels as registry

from deeplab.layers import hardware
from helpers import kernels

LEAST_ELEMENTS = 500  # of a tensor that may not travel to the host; the steps here see more labels than that
# Operations whose GPU kernel raises an error with determinism on. Source: the texts "deterministic GPU implementation"
# and "Determinism is not yet supported" in TensorFlow 2.21's library.
RAISES = {
    "AdjustContrastv2", "Bincount", "CropAndResizeGradBoxes", "CropAndResizeGradImage", "DenseBincount",
    "Dilation2DBackpropFilter", "Dilation2DBackpropInput", "FakeQuantWithMinMaxVarsGradient",
    "FakeQuantWithMinMaxVarsPerChannelGradient", "MaxPoolGradWithArgmax", "ResizeNearestNeighborGrad",
    "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits", "SparseTensorDenseMatMul", "Svd",
}  # fmt: skip
BY_HOST = {"ScatterNd", "TensorScatterAdd", "TensorScatterUpdate"}  # with determinism, the kernel copies to the host
XLA_RAISES = {"MaxPoolGrad", "MaxPoolGradGrad"}  # in a graph that XLA compiles for a GPU


@contextlib.contextmanager
def tracing(deterministic=False, compiled=False):
    """Inside the `with`, layers and losses take the forms that they take on a GPU."""
    with mock.patch.object(hardware, "is_accelerated", return_value=True), hardware.compiled(compiled):
        if deterministic:
            config.enable_op_determinism()
        try:
            yield
        finally:
            config.disable_op_determinism()


def trace(function, *specs, jit_compile=None):
    """Returns the concrete function of a function of tensors, as the training loop traces its step."""
    plain = tf.autograph.experimental.do_not_convert(function)
    return tf.function(plain, jit_compile=jit_compile).get_concrete_function(*specs)


def faults(concrete):
    """Returns texts that say what of a concrete function no GPU runs, or what it runs on the host."""
    graph = concrete.graph.as_graph_def(add_shapes=True)
    types = {variable.dtype for variable in concrete.graph.variables}
    return [
        *kernels.gpu_gaps(graph),
        *kernels.host_nodes(graph, LEAST_ELEMENTS),
        *(f"variable of {dtype.name}" for dtype in types if not _has_variables(dtype)),
    ]


def _has_variables(dtype):
    """Tells whether the memory of a GPU holds variables of a type."""
    return any(
        kernel.device_type in ("GPU", "DEFAULT")
        and dtype.as_datatype_enum in kernel.constraint[0].allowed_values.list.type
        for kernel in registry.get_registered_kernels_for_op("VarHandleOp").kernel
    )


def refused(concrete, compiled=False):
    """Returns the names of the nodes that a GPU refuses to run, or runs on the host, when determinism is on."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    raising = RAISES | BY_HOST | (XLA_RAISES if compiled else set())
    frozen = [
        node.name
        for node in nodes
        if node.op.startswith("FusedBatchNormGrad") and not node.attr["is_training"].b and not compiled
    ]
    return frozen + [node.name for node in nodes if node.op in raising]


def lowered(step, *specs):
    """Returns the HLO text of a `TrainingStep` without its optimizer, compiled for a GPU.

    TensorFlow cannot compile variables for a device that is not there. So the weights of the model are arguments, the
    counters of the step are constants, and the gradients are results.
    """
    variables = step.model.variables
    counts = {"global_step": step.global_step, **step.loss_scale.state()}
    counts = {name: counter.numpy() for name, counter in counts.items()}
    places = {id(variable): index for index, variable in enumerate(variables)}

    def gradients(images, labels, *values):
        held = {name: tf.constant(count) for name, count in counts.items()}
        trained = {name: values[places[id(variable)]] for name, variable in step.variables.items()}
        with (
            StatelessScope(list(zip(variables, values, strict=True))),
            mock.patch.object(step, "variables", trained),
            _counters(step, held),
            _watched(values),
        ):
            found, _losses = step.gradients(images, labels)
            return step.shaped(found, tf.constant(0, tf.int64))

    specs = [*specs, *(tf.TensorSpec(variable.shape, variable.dtype) for variable in variables)]
    concrete = trace(gradients, *specs, jit_compile=True)
    return compiler_ir.from_concrete_function(concrete, specs)(stage="hlo", platform_name="GPU")


@contextlib.contextmanager
def _counters(step, held):
    """Replaces the variables of a step by tensors {name in a checkpoint: tensor}."""
    with mock.patch.object(step, "global_step", held["global_step"]):
        if len(held) == 1:
            yield
            return
        names = {"factor": "loss_scale/factor", "skipped": "loss_scale/skipped_steps"}
        with mock.patch.multiple(step.loss_scale, **{ours: held[name] for ours, name in names.items()}):
            yield


@contextlib.contextmanager
def _watched(values):
    """Lets every gradient tape watch the tensors, as it watches variables."""

    class Tape(tf.GradientTape):
        def __enter__(self):
            super().__enter__()
            self.watch([value for value in values if value.dtype.is_floating])
            return self

    with mock.patch.object(tf, "GradientTape", Tape):
        yield
