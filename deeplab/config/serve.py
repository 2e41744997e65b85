"""Options of `deeplab.serve`."""

import dataclasses

from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class ServeConfig(Checked):
    """What to serve, and within which limits"""

    saved_model: str | None = option(None, "Folder of exports, whose newest VERSION/ is served, or one SavedModel.")
    model_name: str = option("deeplab", "NAME in /v1/models/NAME.")
    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0: all of the machine's.")
    port: int = option(8501, "Port to listen on; 0: any free one.")
    max_batch_size: int = option(8, "Images of waiting requests that run together, where their shapes are equal.")
    batch_timeout_ms: float = option(2.0, "Milliseconds that a request waits for others to run with.")
    max_queue_size: int = option(64, "Requests that may wait for the network; one more is answered 503.")
    request_timeout_secs: float = option(60.0, "Seconds for waiting and running; after them the answer is 504.")
    read_timeout_secs: float = option(20.0, "Seconds for a client to send its request; a slower one is cut off.")
    max_request_bytes: int = option(32 << 20, "Largest body of a request; above it the answer is 413.")
    max_pixels: int = option(
        9_000_000,
        "Most pixels of a request's images, read from their headers; above it 413. A million take about 0.3 GB, and "
        "0.8 s on 2 cores (mobilenet_v2 with decoder).",
    )
    page_pixels: int = option(1_500_000, "Pixels of a picture above which the page scales it down before it sends it.")
    poll_secs: float = option(5.0, "Seconds between looks for a new version; 0: never.")

    def check(self):
        require(self.saved_model, "saved_model", self.saved_model, "a value: --saved_model=...")
        require(0 <= self.port < 1 << 16, "port", self.port, "0 to 65535")
        for name in ("max_batch_size", "max_queue_size", "max_request_bytes", "max_pixels", "page_pixels"):
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        for name in ("request_timeout_secs", "read_timeout_secs"):
            require(getattr(self, name) > 0, name, getattr(self, name), "more than 0 seconds")
        for name in ("batch_timeout_ms", "poll_secs"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
