"""The HTTP server behind `deeplab.serve`: model, batches, contract, application."""
