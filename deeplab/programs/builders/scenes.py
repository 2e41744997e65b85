"""Draws textured scenes with seven classes, image and label together.

There are sky and ground, and on them balls, boxes, tents, poles with wires, and bushes, which hide each other.
Everything has a random hue, so that colour tells nothing about the class, but shape, texture and shading do.
"""

import itertools
import json
import math
import multiprocessing
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from deeplab.files import progress_bar

CLASSES = ("sky", "ground", "ball", "box", "tent", "pole", "bush")
COLORS = ((116, 173, 209), (166, 118, 64), (215, 48, 39), (69, 60, 150), (253, 190, 60), (40, 40, 40), (35, 139, 69))
FINE = 4  # masks are drawn this many times larger, so that their edges become smooth


def write(folder, counts, size, seed):
    """Writes a data set of drawings; image i depends only on (seed, i).

    Args:
      folder: gets images/*.jpg, labels/*.png, one list per split, and classes.json.
      counts: {split: number of images}.
      size: (height, width) in pixels.
      seed: 0 or more.
    """
    folder = pathlib.Path(folder)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    total = sum(counts.values())
    stems = [f"scene_{index:04d}" for index in range(total)]
    jobs = [(folder, stem, (seed, index), size) for index, stem in enumerate(stems)]
    with multiprocessing.Pool() as pool, progress_bar.show(total, "image", "drawing") as bar:
        for _ in pool.imap_unordered(_draw_one, jobs):
            bar.update()
    rest = iter(stems)
    for name, count in counts.items():
        (folder / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in itertools.islice(rest, count)), "utf-8")
    classes = [{"name": name, "color": list(color)} for name, color in zip(CLASSES, COLORS, strict=True)]
    (folder / "classes.json").write_text(json.dumps(classes, indent=1) + "\n", "utf-8")


def _draw_one(job):
    folder, stem, seed, size = job
    image, label = draw_scene(np.random.default_rng(seed), size)
    Image.fromarray(image).save(folder / "images" / f"{stem}.jpg", quality=92)
    Image.fromarray(label).save(folder / "labels" / f"{stem}.png")


def draw_scene(rng, size):
    """Returns image (H, W, 3) uint8 and label (H, W) uint8, class indices, of a scene, drawn from back to front."""
    canvas = Canvas(size)
    horizon = rng.uniform(0.3, 0.6)
    canvas.image[:] = sky(rng, size)
    below = [(0, horizon), (1, horizon + rng.uniform(-0.08, 0.08)), (1, 1), (0, 1)]
    canvas.paint("ground", ground(rng, size), canvas.mask("polygon", below))
    feet = np.sort(rng.uniform(horizon + 0.04, 1.05, size=rng.integers(5, 10)))  # far objects first
    for foot in feet:
        scale = 0.8 + 0.9 * (foot - horizon) / (1.05 - horizon)  # near objects are larger
        OBJECTS[rng.choice(len(OBJECTS), p=SHARES)](canvas, rng, rng.uniform(0.05, 0.95), foot, scale)
    light = rng.uniform(0.8, 1.15) * rng.uniform(0.93, 1.07, size=3)
    noisy = canvas.image * light + rng.normal(0, rng.uniform(1, 6), canvas.image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), canvas.label


class Canvas:
    """An image and its label, which are painted together."""

    def __init__(self, size):
        self.height, self.width = size
        self.image = np.zeros((*size, 3), np.float32)
        self.label = np.zeros(size, np.uint8)

    def mask(self, kind, points, **options):
        """Returns the coverage (H, W), 0 to 1, of a "polygon", "ellipse" or "line" whose x and y are 0 to 1, too."""
        large = Image.new("L", (self.width * FINE, self.height * FINE))
        pixels = [(x * self.width * FINE, y * self.height * FINE) for x, y in points]
        getattr(ImageDraw.Draw(large), kind)(pixels, fill=255, **options)
        return np.asarray(large.reduce(FINE), np.float32) / 255

    def paint(self, name, texture, coverage):
        """Blends `texture` (H, W, 3) into the image by `coverage` (H, W); where that is 0.5 or more, sets the label."""
        self.image += coverage[..., None] * (texture - self.image)
        self.label[coverage >= 0.5] = CLASSES.index(name)

    def grid(self, x, foot, angle=0.0):
        """Returns (u, v), each (H, W): pixels right of and above the point (x, foot), on axes turned by `angle`."""
        rows, columns = np.mgrid[: self.height, : self.width].astype(np.float32)
        right, up = columns - x * self.width, foot * self.height - rows
        cos, sin = math.cos(angle), math.sin(angle)
        return right * cos + up * sin, up * cos - right * sin

    def shadow(self, rng, x, foot, radius):
        """Darkens the ground softly beside the foot of an object; the label does not change."""
        u, v = self.grid(x + rng.uniform(-0.3, 0.3) * radius, foot)
        wide = radius * self.height
        dark = np.exp(-((u / wide) ** 2) - (v / (0.3 * wide)) ** 2)
        self.image *= 1 - rng.uniform(0.3, 0.6) * dark[..., None]


def color(rng, value=(90, 230)):
    """Returns a random hue as (3,) floats of the given brightness range."""
    hue = rng.uniform(0, 2 * math.pi)
    wheel = 0.5 + 0.5 * np.cos(hue + np.array([0, 2, 4]) * math.pi / 3)
    saturation = rng.uniform(0.15, 0.85)
    return (rng.uniform(*value) * (1 - saturation + saturation * wheel)).astype(np.float32)


def noise(rng, size, cell):
    """Returns (H, W) smooth noise in about [0, 1] whose bumps are `cell` pixels wide."""
    coarse = rng.uniform(0, 1, (math.ceil(size[0] / cell) + 2, math.ceil(size[1] / cell) + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.BICUBIC))


def mix(first, second, share):
    """Returns (H, W, 3): a mixture of two colours with the `share` (H, W) of the second."""
    return first + np.clip(share, 0, 1)[..., None] * (second - first)


def sky(rng, size):
    """Returns a smooth vertical gradient with soft clouds."""
    slope = np.linspace(0, 1, size[0], dtype=np.float32)[:, None] * np.ones((1, size[1]), np.float32)
    clear = mix(color(rng, (140, 240)), color(rng, (140, 240)), slope)
    return mix(clear, np.full(3, 235, np.float32), 1.2 * noise(rng, size, 40) * noise(rng, size, 20) - 0.2)


def ground(rng, size):
    """Returns grainy patches that are rough at every scale but have little contrast."""
    grain = 0.5 * noise(rng, size, 2) + 0.3 * noise(rng, size, 5) + 0.4 * noise(rng, size, 30) - 0.1
    base = color(rng, (90, 190))
    return mix(base, rng.uniform(0.45, 0.7) * base + rng.uniform(-15, 15, 3), grain)


def pattern(rng, usual, axes, unit):
    """Returns (H, W, 3): a pattern in two hues along `axes` (u, v in pixels), mostly one of the patterns `usual`."""
    u, v = axes[0] / unit, axes[1] / unit
    kind = rng.choice(PATTERNS if rng.random() < ODD_SHARE else usual)
    if kind == "stripes":
        share = u % 1 < 0.5
    elif kind == "checks":
        share = (u % 1 < 0.5) ^ (v % 1 < 0.5)
    elif kind == "bricks":
        course = np.floor(v / 0.6)
        share = ((v / 0.6) % 1 < 0.2) | ((u + 0.5 * (course % 2)) % 1 < 0.12)
    else:
        share = 0.3 * noise(rng, u.shape, 12)
    return mix(color(rng), color(rng, (40, 200)), share.astype(np.float32))


PATTERNS = ("stripes", "checks", "bricks", "plain")
ODD_SHARE = 0.1  # share of the objects whose pattern may be that of another class


def ball(canvas, rng, x, foot, scale):
    """Draws a sphere, which is shaded from above."""
    radius = scale * rng.uniform(0.09, 0.15)
    half = radius * canvas.height / canvas.width
    canvas.shadow(rng, x, foot, 1.2 * radius)
    axes = canvas.grid(x, foot - radius, rng.uniform(0, math.pi))
    side, up = canvas.grid(x, foot - radius)
    pixels = radius * canvas.height
    light = np.clip(0.6 + (rng.uniform(-0.4, 0.4) * side + 0.4 * up) / pixels, 0.2, 1.1)
    mask = canvas.mask("ellipse", [(x - half, foot - 2 * radius), (x + half, foot)])
    canvas.paint("ball", pattern(rng, ("plain",), axes, 0.7 * pixels) * light[..., None], mask)


def _corners(canvas, x, foot, outline, angle):
    """Returns the points of `outline` [(right, up) in heights], turned by `angle` around (x, foot), for `mask`."""
    cos, sin = math.cos(angle), math.sin(angle)
    turned = [(right * cos - up * sin, right * sin + up * cos) for right, up in outline]
    return [(x + right * canvas.height / canvas.width, foot - up) for right, up in turned]


def _solid(canvas, rng, name, place, outline):
    """Paints a polygon whose part to the right of an edge lies in the shade."""
    x, foot, angle = place
    axes = canvas.grid(x, foot, angle)
    wide = max(right for right, _ in outline) * canvas.height
    light = np.where(axes[0] > rng.uniform(0.1, 0.7) * wide, rng.uniform(0.55, 0.8), rng.uniform(0.9, 1.1))
    mask = canvas.mask("polygon", _corners(canvas, x, foot, outline, angle))
    canvas.paint(name, pattern(rng, SOLID_PATTERNS[name], axes, rng.uniform(0.5, 0.9) * wide) * light[..., None], mask)


SOLID_PATTERNS = {"box": ("bricks",), "tent": ("stripes",)}


def box(canvas, rng, x, foot, scale):
    """Draws an upright or slightly tilted box."""
    half, tall = scale * rng.uniform(0.08, 0.16), scale * rng.uniform(0.15, 0.32)
    canvas.shadow(rng, x, foot, 1.3 * half)
    place = (x, foot, rng.uniform(-0.2, 0.2))
    _solid(canvas, rng, "box", place, [(-half, 0), (half, 0), (half, tall), (-half, tall)])


def tent(canvas, rng, x, foot, scale):
    """Draws a triangle that stands on its longest side."""
    half, tall = scale * rng.uniform(0.12, 0.2), scale * rng.uniform(0.18, 0.32)
    canvas.shadow(rng, x, foot, 1.3 * half)
    place = (x, foot, rng.uniform(-0.1, 0.1))
    _solid(canvas, rng, "tent", place, [(-half, 0), (half, 0), (rng.uniform(-0.5, 0.5) * half, tall)])


def pole(canvas, rng, x, foot, scale):
    """Draws a thin pole with a crossbar, and sometimes with a wire that leaves the picture."""
    half, tall = scale * rng.uniform(0.012, 0.02), scale * rng.uniform(0.45, 0.75)
    angle, top = rng.uniform(-0.06, 0.06), foot - tall
    arm = scale * rng.uniform(0.06, 0.12)
    u, _ = canvas.grid(x, foot, angle)
    round_light = np.clip(1.1 - 0.5 * np.abs(u / (half * canvas.height) - 0.4), 0.45, 1.1)
    coat = color(rng, (60, 230)) * round_light[..., None]
    shaft = [(-half, 0), (half, 0), (half, tall), (-half, tall)]
    bar = [(-arm, 0.82 * tall), (arm, 0.82 * tall), (arm, 0.82 * tall + 1.6 * half), (-arm, 0.82 * tall + 1.6 * half)]
    for outline in (shaft, bar):
        canvas.paint("pole", coat, canvas.mask("polygon", _corners(canvas, x, foot, outline, angle)))
    if rng.random() < 0.3:
        end = (float(rng.integers(2)), top + rng.uniform(-0.1, 0.2))
        width = round(rng.uniform(2.0, 2.8) * FINE)
        canvas.paint("pole", coat, canvas.mask("line", [(x, top + 0.18 * tall), end], width=width))


def bush(canvas, rng, x, foot, scale):
    """Draws a heap of leafy balls with a ragged outline."""
    radius = scale * rng.uniform(0.08, 0.13)
    canvas.shadow(rng, x, foot, 1.6 * radius)
    size = canvas.label.shape
    depth = np.full(size, -1, np.float32)  # how deep inside the heap: 1 at the middle of a ball, 0 at its rim
    for _ in range(rng.integers(4, 8)):
        part = radius * rng.uniform(0.5, 1.0)
        u, v = canvas.grid(x + rng.uniform(-0.7, 0.7) * radius, foot - rng.uniform(0.5, 1.6) * radius)
        depth = np.maximum(depth, 1 - np.hypot(u, v) / (part * canvas.height))
    coverage = np.clip(6 * (depth + 0.35 * noise(rng, size, 4) - 0.15), 0, 1)
    leaves = mix(color(rng, (70, 220)), color(rng, (10, 70)), 2.5 * noise(rng, size, 3) - 0.75)
    canvas.paint("bush", leaves, coverage)


OBJECTS = (ball, box, tent, pole, bush)
SHARES = (0.2, 0.2, 0.2, 0.25, 0.15)  # probability of each object; poles are thin, so there are more of them
