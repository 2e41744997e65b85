"""`deeplab build`: one module per builder of TFRecord shards, and `deeplab check`, which reads what they wrote."""
