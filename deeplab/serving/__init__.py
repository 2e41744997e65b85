"""The HTTP server behind `deeplab.serve`: the model, its queue, the REST interface, and the application around them."""
