"""Scores checkpoints and exports on a split: `python -m deeplab.eval`."""

import dataclasses
import itertools

from deeplab.errors import UserError


def evaluate(config):
    """Scores one checkpoint, or with `continuous` each that appears, as `config`, an `EvalConfig`, says."""
    from deeplab.evaluation import comparison
    from deeplab.inference import trained

    if config.compare:
        return comparison.compare(config)
    if not config.continuous:
        return evaluate_checkpoint(config)
    new = trained.new_checkpoints(config.checkpoint_dir, config.eval_interval_secs, config.eval_timeout_secs)
    scored = (one for one in new if _evaluate_unless_gone(dataclasses.replace(config, checkpoint=one)))
    for _ in itertools.islice(scored, config.max_number_of_evaluations or None):
        pass
    return None


def _evaluate_unless_gone(config):
    """Scores a checkpoint; returns False where the training, which keeps but the newest, removed it meanwhile."""
    from deeplab.inference import trained

    try:
        evaluate_checkpoint(config)
    except UserError:
        if trained.holds(config.checkpoint_dir, config.checkpoint):
            raise
        print(f"{config.checkpoint} was removed before it could be read; going on with the next")
        return False
    return True


def evaluate_checkpoint(config):
    """Scores the checkpoint or export that `config` names; prints and writes the result."""
    from deeplab.evaluation import candidates, report

    # From what: the images of the split, and the network as it was trained.
    one = candidates.prepare(config)
    dataset = one.split.dataset
    print(one.title)

    # Go: every image once; pixels are counted on the device.
    edges = report.Edges(config, dataset)
    result = one.score(edges.collectors)

    # What came out: for the eye, for programs, for TensorBoard.
    print(report.table(result, dataset))
    print(edges.table(), end="")
    folder = config.eval_logdir or one.folder
    report.write(folder, report.FILE, {**one.about, **report.content(result, dataset), **edges.content()})
    report.draw(folder, result, dataset, edges, max(0, one.about["step"]))
    print(f"Wrote {folder}/{report.FILE}")
