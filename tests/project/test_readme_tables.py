"""README's tables say what the code says: the published networks, and every flag in exactly one place."""

import dataclasses
import importlib
import re

import deeplab
from deeplab import cli
from helpers.places import ROOT
from helpers.programs import CONFIG_OF
from helpers.published import PARAMETERS

README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = ("train", "eval", "vis", "export", "predict")


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title):
    """Returns the cells of all table rows of a section."""
    lines = re.findall(r"^\| (.*) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def parameters(name):
    """Returns the trainable parameters of a published model; the output stride does not change them."""
    same = [other for other in PARAMETERS if network(other) == network(name)]
    return PARAMETERS[same[0]]


def network(name):
    config = deeplab.MODELS[name].config
    return dataclasses.replace(config, output_stride=16) if config.output_stride == 8 else config


def test_networks_are_the_published_ones():
    expected = []
    for name, model in deeplab.MODELS.items():
        for one in model.evaluations:
            passes = f"{len(one.eval_scales)} scales, flips" if one.add_flipped_images else "1"
            cost = "" if one.multiply_adds is None else f"{one.multiply_adds:,}"
            score = f"{one.miou}" + (" (test)" if one.split == "test" else "")
            millions = f"{parameters(name) / 1e6:.2f}"
            expected.append([f"`{name}`", millions, str(one.output_stride), passes, cost, score])
    assert rows("Networks")[1:] == expected


def flags():
    configs = [getattr(importlib.import_module(module), name) for module, name in map(CONFIG_OF.get, PROGRAMS)]
    return {field.name for config in configs for field, _owner, _optional in cli.all_fields(config)}


def named(table):
    return re.findall(r"`(\w+)`", table)


def test_every_flag_stands_in_one_place():
    page = section("Coming from the original")
    originals, _, differs = page.partition("\n| flags with the original's names")[2].partition("| differs | how |")
    theirs = {*named(originals), *named("".join(re.findall(r"^\| (.*?) \|", differs, re.MULTILINE)))}
    ours = named(section("Flags of our own"))
    assert len(ours) == len(set(ours))
    assert not set(ours) & theirs
    assert set(ours) == flags() - theirs
