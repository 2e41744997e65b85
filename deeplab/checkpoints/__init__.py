"""Weights in files: our checkpoints, the reference's, and what else the published models come in."""


def __getattr__(name):
    if name != "restore":  # TensorFlow is loaded when it is first used
        raise AttributeError(f"module 'deeplab.checkpoints' has no attribute {name!r}")
    from deeplab.checkpoints.restoring import restore

    return restore
