"""Lists the published weights, and fetches them.

    python -m deeplab.models                   the table of all of them
    python -m deeplab.models --download=NAME   fetches one into the cache, and prints its licence and training data

Other programs fetch what they need themselves: --preset=NAME is enough for eval, vis, predict and export, and train
takes --tf_initial_checkpoint=preset:NAME and --backbone_weights=imagenet.

The cache is the folder that the environment variable DEEPLAB_CACHE names, or deeplab in XDG_CACHE_HOME, or
~/.cache/deeplab. A machine without network takes files that are put there by hand. DEEPLAB_MODELS_URL is the address of
a mirror. A download that was interrupted goes on where it stopped, and a file that was altered is refused.
"""

from deeplab import cli
from deeplab.config.published.command import ModelsConfig


def models(config):
    """Lists or fetches published weights, as `config`, a `ModelsConfig`, says."""
    from deeplab.programs import models as program

    return program.models(config)


def main():
    cli.main(models, ModelsConfig, uses_tensorflow=False)


if __name__ == "__main__":
    main()
