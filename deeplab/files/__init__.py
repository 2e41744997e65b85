"""What every part may need: paths, atomic writes, locks, a progress bar, and a quiet import of TensorFlow."""
