"""From files to batches: catalogue of data sets, TFRecords, augmentation, input pipeline, builders' parts."""
