"""Options of serve."""

import dataclasses
import re

from deeplab.config import effects
from deeplab.config.options import Checked, GpuConfig, gpu_options, max_pixels_option, option, require

_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9_.-]+(:[0-9]{1,5})?")


@dataclasses.dataclass(frozen=True)
class ServeConfig(Checked):
    """Model, address and limits"""

    saved_model: str | None = option(
        None, "Export to serve: a folder with VERSION/ folders, of which the newest is served, or one SavedModel."
    )
    input_size: str = option(
        "auto", "Size at which the network sees an image. auto: as the export says, which has the rule built in."
    )
    model_name: str = option("deeplab", "Name of the model in addresses: /v1/models/NAME.")
    host: str = option("127.0.0.1", "Address to listen on. 0.0.0.0: all addresses of this machine.")
    port: int = option(8501, "Port to listen on. 0: any free port.")
    max_batch_size: int = option(8, "Run at most this many images of equal size together, from waiting requests.")
    batch_timeout_ms: float = option(2.0, "Milliseconds that a request waits for others to run together with.")
    max_queue_size: int = option(64, "Number of requests that may wait for the network. Further ones get a 503.")
    request_timeout_secs: float = option(
        60.0, "Seconds that reading, waiting and computing may take before a request gets a 504."
    )
    read_timeout_secs: float = option(20.0, "Seconds that a client may take to send one request before it gets a 408.")
    idle_timeout_secs: float = option(
        75.0, "Seconds that a connection is kept without a request. More than a proxy in front of the server keeps it."
    )
    stop_timeout_secs: float = option(
        8.0,
        "Seconds after SIGTERM until the process has ended. Fewer than what stops the server waits before it kills.",
    )
    max_images: int = option(256, "Number of images that a request may have. More get a 413.")
    max_request_bytes: int = option(32 << 20, "Size of the largest request. A larger one gets a 413.")
    max_pixels: int = option(
        9_000_000,
        "Number of pixels that the images of a request may have together. More get a 413. A million pixels take about "
        "0.3 GB, and 0.8 s on 2 cores (mobilenet_v2 with decoder).",
    )
    max_image_pixels: int = max_pixels_option()
    memory_budget_bytes: int = option(
        0,
        "Bytes of memory that requests may take together; what the network needs is measured when it is loaded. A "
        "request that needs more gets a 413, one that finds it taken a 503. 0: half of what the machine, the container "
        "and ulimit -v leave when the model is loaded.",
    )
    page_pixels: int = option(
        1_500_000,
        "The page scales a picture down to this number of pixels before it sends the picture; to max_pixels when the "
        "export itself shrinks large pictures.",
    )
    poll_secs: float = option(5.0, "Seconds between two looks for a new VERSION/ folder. 0: never look.")
    auth_token_file: str | None = option(
        None,
        "File with one token a line. Requests need one of them, as `Authorization: Bearer TOKEN`, except for /healthz, "
        "/readyz and the page, which asks for it. The file is read again when it changes.",
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Names by which clients may address this server, besides IP addresses, localhost, --host and, when it listens "
        "on the network, the machine's name. A proxy passes such a name on.",
    )
    cors_origins: tuple[str, ...] = option(
        (), "Web sites, such as https://app.example.org, whose pages may send requests. Others are refused."
    )
    tls_certificate: str | None = option(None, "File with the certificate chain (PEM) for https.")
    tls_key: str | None = option(None, "File with the private key (PEM) of --tls_certificate, without a password.")
    access_log: bool = option(
        True, "Write one line per request to stderr: id, method, path, status, milliseconds and bytes, never contents."
    )
    gpu: GpuConfig = gpu_options()

    @property
    def limits(self):
        """The pixels that all images of a request may have, and those that one image may have."""
        return self.max_pixels, self.max_image_pixels

    def check(self):
        require(self.saved_model, "saved_model", self.saved_model, "a value: --saved_model=...")
        other = "auto: the export has the rule built in; for another one: python -m deeplab.export --input_size=..."
        require(self.input_size == "auto", "input_size", self.input_size, other)
        require(0 <= self.port < 1 << 16, "port", self.port, "0 to 65535")
        for name in (
            "max_batch_size",
            "max_queue_size",
            "max_images",
            "max_request_bytes",
            "max_pixels",
            "max_image_pixels",
            "page_pixels",
        ):
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        for name in ("request_timeout_secs", "read_timeout_secs", "idle_timeout_secs", "stop_timeout_secs"):
            require(getattr(self, name) > 0, name, getattr(self, name), "more than 0 seconds")
        for name in ("batch_timeout_ms", "poll_secs", "memory_budget_bytes"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for given, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            require(getattr(self, other) or not getattr(self, given), given, getattr(self, given), f"--{other} with it")
        for name in self.allowed_hosts:
            require(_HOST.fullmatch(name), "allowed_hosts", name, "names without a port, such as segment.example.org")
        for origin in self.cors_origins:
            require(_ORIGIN.fullmatch(origin), "cors_origins", origin, "origins, such as https://app.example.org")
        effects.refuse_without_effect(self, effects.SERVE)
