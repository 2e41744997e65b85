"""TFLite in int8: the converter's quantisation with the ranges of images, of everything between pixels and logits."""

from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize

from deeplab.exporting.formats.float_parts import until_layers

_LAYERS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)


def convert(converter, images):
    """Returns the content of a .tflite file that computes in int8, with a scale for each output channel of weights.

    The scaling of pixels stays in float32, and so do the layers that compute logits and what follows them: 256 levels
    are too few to tell classes apart that are nearly equal. `tf.lite.TFLiteConverter.convert` quantises all of it and
    has no option for that; the two steps that it consists of have.

    Args:
      converter: a `tf.lite.TFLiteConverter` that optimises.
      images: list of arrays (1, H, W, 3) uint8, from which the range of every activation is learnt.
    """
    converter.representative_dataset = lambda: ([image] for image in images)
    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    return mlir_quantize(calibrated, denylisted_nodes=_in_float32(calibrated))


def _in_float32(content):
    """Returns the names of the outputs of the operations that stay in float32."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    layers, before, after = set(), {}, {}  # operations by their numbers: {number: [numbers]}
    made_by = {int(tensor): number for number, operator in enumerate(graph.operators) for tensor in operator.outputs}
    for number, operator in enumerate(graph.operators):
        before[number] = [made_by[int(tensor)] for tensor in operator.inputs if int(tensor) in made_by]
        for maker in before[number]:
            after.setdefault(maker, []).append(number)
        if model.operatorCodes[operator.opcodeIndex].builtinCode in _LAYERS:
            layers.add(number)
    first = [number for number, operator in enumerate(graph.operators) if set(operator.inputs) & set(graph.inputs)]
    pixels = until_layers(first, lambda number: after.get(number, []), layers.__contains__) - layers
    logits = until_layers([made_by[int(tensor)] for tensor in graph.outputs], before.get, layers.__contains__)
    outputs = (tensor for number in pixels | logits for tensor in graph.operators[number].outputs)
    return sorted(graph.tensors[int(tensor)].name.decode() for tensor in outputs)
