"""What turns a backbone's features into logits: ASPP or dense prediction cell, decoder, logits."""
