"""PyTorch on the same card: DeepLabV3Plus of segmentation_models_pytorch, the same crop and batch.

The driver starts it with the path of the Python that has PyTorch. It imports nothing of this project but `rows`, which
lies beside it, and its argument is a JSON object: what ("training" or "inference"), network, quick and the `Sizes`.
`scripts/compare_with_pytorch.py` starts it, too: with what "turns", network, crop, batch, precision and threads.
"""

import contextlib
import json
import statistics
import sys
import time

import rows

try:
    import segmentation_models_pytorch as smp
    import torch
except ImportError as error:
    rows.send("PyTorch", skipped=f"{type(error).__name__}: {error}")
    sys.exit(0)

ENCODERS = {  # network of ours: encoder there
    "xception_65 + decoder": "tu-xception65",
    "resnet_v1_101_beta + decoder": "resnet101",
    "mobilenet_v2 + decoder": "mobilenet_v2",
    "mobilenet_v2": "mobilenet_v2",
}
CLASSES, IGNORE = 21, 255
TRAINING = (  # (precision, compiled by torch.compile), in order of worth
    ("bfloat16", False),
    ("float32", False),
    ("bfloat16", True),
    ("float16", False),
    ("float32", True),
    ("float16", True),
)
INFERENCE = ("float32 without TF32", "float32", "bfloat16", "float16")
SECONDS_TO_COMPILE = 60  # a form that is compiled is left out if less than this is left
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main(how):
    """Sends the times of training or of inference."""
    torch.backends.cudnn.benchmark = True
    side = how["crop"] // 16 * 16  # smp asks for multiples of its stride
    rows.send("PyTorch", version=torch.__version__, smp=smp.__version__, encoder=ENCODERS[how["network"]], crop=side)
    if how["what"] == "turns":
        take_turns(how, side)
    elif how["what"] == "training":
        for precision, compiled in TRAINING:
            if compiled and (how["quick"] or rows.seconds_left() < SECONDS_TO_COMPILE):
                rows.send(f"PyTorch, {precision}, compiled", skipped=f"{rows.seconds_left():.0f} s are left")
            else:
                attempt(train, how, side, precision, compiled)
    else:
        for precision in INFERENCE:
            attempt(infer, how, side, precision)


def attempt(function, how, side, precision, *more):
    """Calls a function; an error becomes a row, and the memory is free again."""
    try:
        function(how, side, precision, *more)
    except Exception as error:
        rows.send(f"PyTorch, {precision}", skipped=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def train(how, side, precision, compiled):
    """Sends the time of a training step."""
    step = training_step(how, side, precision, compiled)
    begun = time.monotonic()
    first = step().item()
    take(step, how["steps"])
    warm_up = time.monotonic() - begun
    ms = statistics.median(take(step, how["steps"]) / how["steps"] for _ in range(how["turns"]))
    name = f"PyTorch, {precision}, {'compiled' if compiled else 'eager'}"
    figures = {"ms": ms, "images_per_second": 1000 * how["batch"] / ms, "first_loss": first}
    rows.send(name, by="PyTorch", compare=precision, **figures, peak_gib=peak_gib(), warm_up_seconds=warm_up)


def training_step(how, side, precision, compiled):
    """Returns a function that trains once and returns the loss: SGD with momentum and L2; float16 is scaled."""
    model = network(how).train()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), 0.007, momentum=0.9, weight_decay=4e-5)
    scaler = torch.amp.GradScaler(DEVICE, enabled=precision == "float16" and DEVICE == "cuda")
    criterion = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)
    images = torch.randint(0, 256, (how["batch"], 3, side, side), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (how["batch"], side, side), dtype=torch.uint8)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with computing_in(precision):
            loss = criterion(run(normalized(images)).float(), labels.to(DEVICE).long())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def take_turns(how, side):
    """Trains on command: for each line of the input, a number of steps, sends the milliseconds of a step."""
    torch.set_num_threads(how["threads"])
    step = training_step(how, side, how["precision"], compiled=False)
    for line in sys.stdin:
        rows.send("turn", ms=take(step, int(line)) / int(line))


def infer(how, side, precision):
    """Sends the times from images on the host to labels on the host, eager."""
    model = network(how).eval()
    for batch in how["batches"]:
        images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)

        def run(images=images):
            with torch.inference_mode(), computing_in(precision):
                return model(normalized(images)).argmax(1).to(torch.uint8).cpu()

        take(run, 3)
        ms = statistics.median(take(run, 1) for _ in range(how["runs"]))
        form = f"{precision}, batch {batch}"
        figures = {"ms": ms, "images_per_second": 1000 * batch / ms}
        rows.send(f"PyTorch, {form}", by="PyTorch", compare=form, **figures, peak_gib=peak_gib())


def network(how):
    """Returns the network with random weights, in the layout that tensor cores want."""
    torch.manual_seed(0)
    model = smp.DeepLabV3Plus(ENCODERS[how["network"]], encoder_weights=None, classes=CLASSES, encoder_output_stride=16)
    return model.to(DEVICE, memory_format=torch.channels_last)


def normalized(images):
    """Returns images in -1..1 on the device, channels last."""
    return images.to(DEVICE).to(memory_format=torch.channels_last).float() / 127.5 - 1


@contextlib.contextmanager
def computing_in(precision):
    """Inside of the `with`, convolutions are computed in this precision."""
    tf32 = precision != "float32 without TF32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    kind = getattr(torch, precision.partition(" ")[0])
    with torch.autocast(DEVICE, dtype=kind, enabled=kind != torch.float32):
        yield


def take(function, count):
    """Calls a function; returns the milliseconds until the device has done it all."""
    begun = time.perf_counter()
    for _ in range(count):
        function()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - begun)


def peak_gib():
    """Returns the largest memory of the card in use so far, in GiB."""
    return torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
