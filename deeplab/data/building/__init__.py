"""Making data sets: from folders of images and labels to shards."""
