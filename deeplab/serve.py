"""Serves an export over HTTP with the REST interface of TensorFlow Serving, and a page to try it.

    python -m deeplab.serve --saved_model=EXPORT

Open http://localhost:8501/ for the page. Programs use the REST interface as TensorFlow Serving documents it, with
`instances` (row format) or `inputs` (columnar format), `signature_name` and {"b64": ...}:

    POST /v1/models/deeplab:predict
    GET  /v1/models/deeplab, /v1/models/deeplab/versions/V, /v1/models/deeplab/metadata
    GET  /healthz, /readyz, /metrics (Prometheus)

A new version in the folder replaces the old one while requests go on. On SIGTERM, the server answers what is being
computed, refuses the rest with a 503, and ends within --stop_timeout_secs. The server needs
pip install starlette anyio uvicorn h11 prometheus-client orjson. Tests compare it with the documentation of TensorFlow
Serving, not with TensorFlow Serving itself.
"""

from deeplab import cli
from deeplab.config.serve import ServeConfig
from deeplab.errors import not_installed

_PACKAGES = ("starlette", "anyio", "uvicorn", "h11", "prometheus-client", "orjson")  # the extra `serve` in setup.py


def serve(config):
    """Serves the export that `config`, a `ServeConfig`, names, until SIGTERM."""
    try:
        from deeplab.serving import run
    except ImportError as error:
        raise not_installed("the server needs", error, _PACKAGES) from None
    run.serve(config)


def main():
    cli.main(serve, ServeConfig)


if __name__ == "__main__":
    main()
