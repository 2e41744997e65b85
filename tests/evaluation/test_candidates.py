"""What is printed before a candidate is scored."""

from deeplab.evaluation import candidates


def test_a_title_has_two_lines_whatever_is_in_its_names():
    facts = {"model_variant": "xception_65", "output_stride": 16, "split": "val", "dataset": "voc\n\x1b[2J"}
    lines = candidates._title("run/model.ckpt-5\r", {**facts, "num_images": 3}, "at their own size").split("\n")
    assert lines == [
        "run/model.ckpt-5\\r: xception_65, output stride 16",
        "val of voc\\n\\x1b[2J: 3 images, at their own size",
    ]
