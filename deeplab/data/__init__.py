"""From files to batches: catalogue of data sets, TFRecords, augmentation, the input pipeline, and the builders' parts."""
