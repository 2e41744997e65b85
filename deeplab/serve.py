"""Serves an export over HTTP, with the REST contract of TensorFlow Serving and a page to try it.

    python -m deeplab.serve --saved_model=EXPORT

Then http://localhost:8501/ is the page, and GET /v1/models/deeplab, .../versions/V, .../metadata and POST
/v1/models/deeplab:predict answer as TensorFlow Serving's documentation says: `instances` (row) or `inputs` (columnar),
`signature_name`, {"b64": ...}. There are also /healthz, /readyz and /metrics (Prometheus). A new version in the folder
replaces the old one while requests go on. On SIGTERM the server answers the requests that it has accepted, then stops.
It needs pip install "deeplab[serve]".
Tests compare it with the documented contract of TensorFlow Serving's REST interface, not with a running one.
"""

from deeplab import cli
from deeplab.config.serve import ServeConfig
from deeplab.errors import UserError


def serve(config):
    """Serves what `config`, a `ServeConfig`, says until SIGTERM."""
    try:
        from deeplab.serving import run
    except ImportError as error:
        raise UserError(f'{error.name} is not installed: pip install "deeplab[serve]"') from None
    run.serve(config)


def main():
    cli.main(serve, ServeConfig)


if __name__ == "__main__":
    main()
