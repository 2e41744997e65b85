"""The parts of a graph that stay in float32 when the rest computes in int8."""


def until_layers(waiting, neighbours, is_layer):
    """Walks a graph from some operations on, and no further than the next layers with weights.

    Args:
      waiting: the operations to begin with, which are hashable.
      neighbours: function from an operation to the list of operations to go on with.
      is_layer: function that tells whether an operation is a layer with weights.

    Returns:
      The set of the operations that were reached, with the first layers on every way.
    """
    reached, waiting = set(), list(waiting)
    while waiting:
        operation = waiting.pop()
        if operation not in reached:
            reached.add(operation)
            waiting += [] if is_layer(operation) else neighbours(operation)
    return reached
