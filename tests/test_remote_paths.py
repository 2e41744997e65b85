"""What builders read, on disk and where only tf.io.gfile reads: TensorFlow's ram:// stands for gs://."""

import fake_data
import pytest
import tensorflow as tf

from deeplab import files
from deeplab.data import listing


def upload(folder, target):
    """Copies all files below a folder on disk."""
    for path in folder.rglob("*.*"):
        place = f"{target}/{path.relative_to(folder)}"
        tf.io.gfile.makedirs(place.rpartition("/")[0])
        tf.io.gfile.copy(str(path), place, overwrite=True)


def test_files_of_both_kinds(tmp_path):
    fake_data.folders(tmp_path, 2)
    (tmp_path / "train.txt").write_bytes("\ufeffimg_0.jpg \r\nimg_1\r\n".encode())
    upload(tmp_path, "ram://both")
    for root in (str(tmp_path), "ram://both"):
        assert list(listing.files_by_name(f"{root}/images", "image_dir")) == ["img_0", "img_1"]
        assert listing.read_list(f"{root}/train.txt") == ["img_0", "img_1"]
        assert files.exists(f"{root}/train.txt")
        assert not files.is_folder(f"{root}/nowhere")
        with pytest.raises(OSError, match="nowhere"):
            files.read(f"{root}/nowhere")
