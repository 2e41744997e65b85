"""Builds TFRecord shards of a data set: of a public one, of a folder of images and labels, or of drawings.

deeplab build BUILDER --flag=value       BUILDER is one of the words below
deeplab build ./FOLDER --flag=value      a folder with images and labels, as --folder of the builder folder
deeplab build BUILDER --help             all flags of a builder
"""

import importlib
import os
import sys

from deeplab.errors import EXIT_BAD_INPUT
from deeplab.files import escaping, help_pages, nearest

BUILDERS = {  # word: (module of this folder, its configuration)
    "voc2012": ("voc2012", "VocConfig"),
    "cityscapes": ("cityscapes", "CityscapesConfig"),
    "ade20k": ("ade20k", "AdeConfig"),
    "camvid": ("camvid", "CamvidConfig"),
    "folder": ("folder", "FolderConfig"),
    "shapes": ("shapes", "ShapesConfig"),
}


def main():
    """Runs the builder that the first word of the command line names, with the words after it."""
    word, *rest = sys.argv[1:] or ["--help"]
    if word in help_pages.WORDS:
        help_pages.show(page())
    elif word in BUILDERS:
        _run(word, rest)
    elif not word.startswith("-") and os.path.isdir(word):
        _run("folder", [f"--folder={word}", *rest])
    else:
        print(f"error: {escaping.terminal(_refusal(word))}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def page():
    """Returns the page of all builders; no builder is imported for it."""
    folder = os.path.dirname(__file__)
    lines = [
        f"  {word:12}{help_pages.first_line(os.path.join(folder, f'{module}.py'))}"
        for word, (module, _config) in BUILDERS.items()
    ]
    return "\n".join([__doc__.strip(), "", *lines])


def _refusal(word):
    if word.startswith("-"):
        return (
            f"{word}: expected a builder before its flags: deeplab build BUILDER {word}, one of {', '.join(BUILDERS)}"
        )
    return f"{word!r} is no builder and no folder" + (
        nearest.hint(word, BUILDERS) or f"; the builders are {', '.join(BUILDERS)}"
    )


def _run(word, arguments):
    sys.argv = [f"{sys.argv[0]} {word}", *arguments]
    importlib.import_module(f"deeplab.programs.builders.{BUILDERS[word][0]}").main()
