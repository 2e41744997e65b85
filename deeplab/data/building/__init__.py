"""Makes data sets: folders of images and labels become TFRecord shards."""
