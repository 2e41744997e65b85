"""Files and folders: paths, whole writes, locks, progress bars, and a quiet import of TensorFlow."""
