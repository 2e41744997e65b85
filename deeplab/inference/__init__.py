"""Using a trained network: labels of images, tiles of huge ones, a train_logdir or an export as one object."""
