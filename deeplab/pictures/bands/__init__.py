"""Images of any number of bands and of any depth: read from files without loss, and shown as RGB."""
