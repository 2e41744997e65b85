"""From files to batches: the catalogue of data sets, TFRecords, augmentation and the input pipeline."""
