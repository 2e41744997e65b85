"""Every format is recognised, and the same scene becomes the same labels, whichever tool has written it."""

import base64
import json
import pickle

import numpy as np
import pytest

from deeplab.data.annotations import recognise
from deeplab.data.annotations.found import Options
from deeplab.errors import UserError
from helpers import annotated_folders, fake_data
from helpers.annotated_folders import SIZE, write


def read(root, **options):
    candidates = recognise.candidates(str(root))
    assert len(candidates) == 1
    return recognise.read(str(root), candidates[0], Options(**options))


def drawn(found, name):
    return found.labels[name].draw(SIZE, 255)


@pytest.mark.parametrize("name", annotated_folders.DRAWN)
def test_the_same_scene_is_read_from_every_format(name, tmp_path):
    annotated_folders.DRAWN[name](tmp_path)
    found = read(tmp_path)
    assert found.format == name
    prefix = "train/" if name == "yolo" else ""
    assert sorted(found.labels) == sorted(found.images) == [f"{prefix}one", f"{prefix}two"]
    background = "_background_" if name == "labelme" else "background"
    assert found.class_names == (background, "car", "tree")
    for image in annotated_folders.SQUARES:
        assert found.images[prefix + image].endswith(f"{image}.jpg")
        labels = drawn(found, prefix + image)
        np.testing.assert_array_equal(labels.labels, annotated_folders.expected(image))
        assert labels.overlapping == (16 if image == "one" else 0)


@pytest.mark.parametrize("name", annotated_folders.DRAWN)
def test_smaller_shapes_are_on_top_in_every_format(name, tmp_path):
    annotated_folders.DRAWN[name](tmp_path)
    found = read(tmp_path, on_top="smaller")
    label = next(found.labels[name] for name in found.labels if name.endswith("one"))
    label = pickle.loads(pickle.dumps(label))  # as worker processes get it
    assert label.draw(SIZE, 255).labels[10, 11] == 1  # the car, which is smaller


@pytest.mark.parametrize("name", annotated_folders.MASKS)
def test_masks_are_found_with_their_classes(name, tmp_path):
    annotated_folders.MASKS[name](tmp_path)
    found = read(tmp_path)
    assert found.format == name
    prefix = "train/" if name == "roboflow_masks" else ""
    assert sorted(found.labels) == sorted(found.images) == [f"{prefix}one", f"{prefix}two"]
    assert found.class_names == (() if name == "voc" else annotated_folders.NAMES)
    assert len(found.colors) == (3 if name == "cvat" else 0)
    assert [path.rpartition("/")[2] for path in found.lists] == (["train.txt"] if name == "voc" else [])


def test_other_folders_are_no_annotations(tmp_path):
    fake_data.folders(tmp_path, count=2)
    write(tmp_path / "classes.json", ["a", "b"])
    write(tmp_path / "images" / "labels" / "notes.txt", "1 of these is odd")
    assert recognise.candidates(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("via.json", {"_via_img_metadata": {}}, "VGG Image Annotator, which is not read; export it as COCO"),
        ("panoptic.json", {"annotations": [{"segments_info": []}], "images": []}, "COCO panoptic, which is not read"),
    ],
)
def test_formats_that_are_not_read_are_named(name, values, told, tmp_path):
    write(tmp_path / name, values)
    with pytest.raises(UserError, match=told):
        recognise.candidates(str(tmp_path))


# COCO ---------------------------------------------------------------------------------------------------------------


def coco(root, change=lambda values: None):
    annotated_folders.images(root)
    values = annotated_folders.coco_values()
    change(values)
    write(root / "_annotations.coco.json", values)
    return root


def annotation(**changes):
    def change(values):
        values["annotations"][1].update(changes)

    return change


def image(**changes):
    def change(values):
        values["images"][0].update(changes)

    return change


def category(*more):
    def change(values):
        values["categories"] += more

    return change


def test_coco_keeps_ids_and_leaves_out_the_group_of_roboflow(tmp_path):
    group = {"id": 0, "name": "things", "supercategory": "none"}
    found = read(coco(tmp_path, category(group)))
    assert found.class_names == annotated_folders.NAMES
    assert found.source_ids == (None, 3, 18)
    assert found.notes == ("1 group category left out, which no annotation uses: 'things' (id 0)",)


def test_categories_of_one_name_are_joined(tmp_path):
    def change(values):
        values["categories"].append({"id": 40, "name": "car"})
        values["annotations"][1]["category_id"] = 40

    found = read(coco(tmp_path, change))
    assert found.class_names == annotated_folders.NAMES
    assert drawn(found, "one").labels.max() == 1
    assert found.notes == ("1 category joined with another one of its name: 'car' (ids 3 and 40)",)


def test_a_category_of_background_is_class_0(tmp_path):
    def change(values):
        values["categories"][0]["name"] = "Background"

    assert read(coco(tmp_path, change)).class_names == ("Background", "car")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (annotation(iscrowd=1), "1 crowd regions, which do not count where nothing else is drawn"),
        (annotation(segmentation=[[1, 2, 3, 4]]), "1 polygons of fewer than 3 points, left out"),
        (annotation(segmentation=[]), "1 annotations without outline and box, left out"),
        (annotation(segmentation=None, bbox=[1, 2, 3, 4]), "1 annotations without outline, drawn as their boxes"),
        (annotation(segmentation=[[90, 90, 99, 90, 99, 99]]), "1 shapes wholly outside their image"),
        (annotation(segmentation=[[9, 9, 99, 9, 99, 99]]), "1 shapes that reach beyond their image, cut off"),
        (lambda values: values["annotations"].pop(), "1 images without annotations, all background (first: two.jpg)"),
        (
            lambda values: values["images"].pop(0) and values["annotations"].__delitem__(slice(2)),
            "1 images in the folder",
        ),
    ],
)
def test_what_is_odd_in_coco_is_noted(change, note, tmp_path):
    (line,) = read(coco(tmp_path, change)).notes
    assert line.startswith(note)


def test_crowd_regions_are_void_beneath_the_others(tmp_path):
    labels = drawn(read(coco(tmp_path, annotation(iscrowd=1))), "one").labels
    assert (labels[9, 11], labels[16, 16], labels[0, 0]) == (1, 255, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (annotation(category_id=99), "1 annotations have the category_id 99, which no category has"),
        (annotation(image_id=99), "annotation 1: has the image_id 99, which no image has"),
        (annotation(segmentation=[[1, 2, 3]]), "annotation 1: expected pairs of numbers"),
        (annotation(segmentation=[["a", 2, 3, 4, 5, 6]]), "annotation 1: expected pairs of numbers"),
        (annotation(segmentation=[[float("nan"), 2, 3, 4, 5, 6]]), "annotation 1: the coordinate nan lies in no image"),
        (annotation(segmentation=[[1e300, 2, 3, 4, 5, 6]]), "annotation 1: the coordinate 1e.300 lies in no image"),
        (annotation(segmentation="x"), "neither polygons nor a mask"),
        (annotation(segmentation={"counts": [1]}), "expected a mask with size"),
        (annotation(segmentation={"counts": [1e400], "size": [2, 2]}), "counts are not whole numbers"),
        (image(file_name=None), "the image of id 7 has no file_name"),
        (image(file_name="two.jpg"), "the name 'two' is that of .*two.jpg, too"),
        (image(id=8), "two images have the id 8"),
        (image(height="x"), "image one.jpg: height 'x' and width 32 are no size"),
        (category({"id": 3, "name": "x"}), "two categories have the id 3: 'car' and 'x'"),
        (category({"id": 4, "name": " "}), "expected an id, a whole number, and a name"),
        (category(*({"id": i, "name": str(i)} for i in range(100, 400))), "303 classes, but labels have 8 bits"),
        (lambda values: values.update(images={}), "'images' is no list of objects"),
        (lambda values: [one.update(segmentation=[]) for one in values["annotations"]], "has boxes only"),
        (lambda values: values.update(categories=[], annotations=[]), "names no categories"),
        (annotation(category_id=[3]), "_annotations.coco.json: is not what --format=coco says .TypeError"),
    ],
)
def test_what_is_wrong_in_coco_is_one_line(change, told, tmp_path):
    with pytest.raises(UserError, match=told) as caught:
        read(coco(tmp_path, change))
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(tmp_path)) <= 2  # the file, and an image


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:-9], "line 1, column .*: is not JSON"),
        (lambda data: data.decode().encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        (lambda data: data.replace(b"car", b"\xff\xfe"), "line 1: is not UTF-8"),
        (lambda data: data + b"[" * 100000, "is not JSON"),
    ],
)
def test_a_damaged_file_is_one_line(damage, told, tmp_path):
    path = coco(tmp_path) / "_annotations.coco.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=told) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) == 1


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = coco(tmp_path) / "_annotations.coco.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(tmp_path).labels) == 2


def test_splits_of_coco_are_those_of_its_folders_or_files(tmp_path):
    for folder in ("train", "valid"):
        coco(tmp_path / "roboflow" / folder)
        annotated_folders.images(tmp_path / "coco" / f"{folder}2017")
        write(tmp_path / "coco" / "annotations" / f"instances_{folder}2017.json", annotated_folders.coco_values())
        write(tmp_path / "coco" / "annotations" / f"captions_{folder}2017.json", {"images": [], "annotations": []})
    for source in ("roboflow", "coco"):
        found = read(tmp_path / source)
        assert sorted(found.images) == ["train/one", "train/two", "val/one", "val/two"]
        assert all(found.images[name].rpartition("/")[0].rpartition("/")[2][:3] == name[:3] for name in found.images)


def test_an_image_of_another_size_is_refused_and_a_turned_one_is_not(tmp_path):
    label = read(coco(tmp_path)).labels["one"]
    assert label.draw(SIZE[::-1], 255).labels.shape == SIZE
    with pytest.raises(UserError, match="the annotation is of an image of 32x24, the image has 64x48"):
        label.draw((48, 64), 255)


@pytest.mark.parametrize(
    ("names", "classes", "noted"),
    [
        (("background", "tree", "car"), (2, 1), ""),
        (("nothing", "tree"), (0, 1), "not among --class_names and so background: car"),
    ],
)
def test_classes_may_be_chosen(names, classes, noted, tmp_path):
    found = read(coco(tmp_path), class_names=names)
    assert found.class_names == names
    labels = drawn(found, "one").labels
    assert (labels[5, 7], labels[15, 15]) == classes
    assert noted in "".join(found.notes)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("background", "caar"), "'caar' is no class of .*; did you mean car?"),
        (("car", "tree"), "the first class is what lies between the shapes, but 'car' has shapes"),
        (("background", "car", "car"), "'car' occurs twice"),
    ],
)
def test_classes_that_do_not_fit_are_refused(names, told, tmp_path):
    with pytest.raises(UserError, match=told):
        read(coco(tmp_path), class_names=names)


@pytest.mark.parametrize("name", ["C:\\Users\\me\\imgs\\one.jpg", "imgs/one.jpg", "/home/x/one.jpg", "./one.jpg"])
def test_images_are_found_by_paths_of_other_computers(name, tmp_path):
    found = read(coco(tmp_path, image(file_name=name)))
    assert found.images["one"] == str(tmp_path / "one.jpg")


def test_the_case_of_letters_of_a_name_may_differ(tmp_path):
    assert read(coco(tmp_path, image(file_name="ONE.JPG"))).images["one"] == str(tmp_path / "one.jpg")


def test_a_missing_image_is_none_and_an_ambiguous_one_is_refused(tmp_path):
    coco(tmp_path, image(file_name="gone.jpg"))
    assert read(tmp_path).images["gone"] is None
    fake_data.save(fake_data.image(*SIZE), tmp_path / "a" / "gone.jpg")
    fake_data.save(fake_data.image(*SIZE), tmp_path / "b" / "gone.jpg")
    with pytest.raises(UserError, match="both have this name"):
        read(tmp_path)


# labelme ------------------------------------------------------------------------------------------------------------


def labelme(root, change=lambda values: None):
    annotated_folders.labelme(root)
    path = root / "one.json"
    values = json.loads(path.read_text())
    change(values)
    write(path, values)
    return root


def shape(**changes):
    def change(values):
        values["shapes"][0].update(changes)

    return change


@pytest.mark.parametrize("kind", ["rectangle", "rotation"])
def test_four_corners_are_a_polygon(kind, tmp_path):
    found = read(labelme(tmp_path, shape(shape_type=kind)))
    np.testing.assert_array_equal(drawn(found, "one").labels, annotated_folders.expected("one"))


def test_labelme_without_a_list_of_labels(tmp_path):
    (labelme(tmp_path, shape(label="ape")) / "labels.txt").unlink()
    found = read(tmp_path)
    assert found.class_names == ("background", "ape", "tree")
    assert found.notes == ("no labels.txt: the classes are the labels that occur, by alphabet",)


def test_what_labelme_ignores_does_not_count(tmp_path):
    found = read(labelme(tmp_path, shape(label="__ignore__")))
    assert drawn(found, "one").labels[5, 7] == 255
    assert "'__ignore__' does not count" in found.notes[0]


def test_an_image_inside_the_file(tmp_path):
    path = tmp_path / "one.jpg"
    annotated_folders.images(tmp_path)
    data = path.read_bytes()
    labelme(tmp_path, lambda values: values.update(imageData=base64.b64encode(data).decode()))
    path.unlink()
    found = read(tmp_path)
    assert found.images["one"].read() == data
    assert "images taken from imageData" in found.notes[-1]
    labelme(tmp_path, lambda values: values.update(imageData="%%"))
    path.unlink()
    with pytest.raises(UserError, match="imageData is not base64"):
        read(tmp_path).images["one"].read()


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (shape(shape_type="line", points=[[1, 1], [9, 9]]), "1 shapes of the kind 'line', drawn as labelme draws them"),
        (shape(shape_type="point", points=[[1, 1]]), "1 shapes of the kind 'point', drawn"),
        (shape(shape_type="points", points=[[1, 1]]), "1 shapes of the kind 'points', left out"),
        (shape(points=[[1, 1], [2, 2]]), "1 polygons of fewer than 3 points, left out"),
        (lambda values: values.update(shapes=[]), "1 images without shapes, all background"),
    ],
)
def test_what_is_odd_in_labelme_is_noted(change, note, tmp_path):
    assert read(labelme(tmp_path, change)).notes[-1].startswith(note)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (shape(label="caar"), "one.json: has a shape with the label 'caar', which labels.txt has not"),
        (shape(label=""), "one.json: shape 1: has no label"),
        (shape(points=[[1, float("inf")], [1, 2], [2, 3]]), "one.json: shape 1: the coordinate inf lies in no image"),
        (shape(points=[[1], [2], [3]]), "expected pairs of numbers"),
        (shape(shape_type="circle", points=[[1, 1]]), "a circle of 1 points; expected 2"),
        (shape(shape_type="mask", points=[[1, 1], [2, 2]], mask="%"), "its mask is not base64"),
        (lambda values: values.update(shapes=3), "'shapes' is no list of objects"),
    ],
)
def test_what_is_wrong_in_labelme_is_one_line(change, told, tmp_path):
    with pytest.raises(UserError, match=told) as caught:
        read(labelme(tmp_path, change))
    assert "\n" not in str(caught.value)


# CVAT ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>', "line 2: declares a document type"),
        ("</image>", "", "is no XML that can be read"),
        ('label="car" rle', 'label="bus" rle', "a shape has the label 'bus', which the file does not list"),
        ("0, 64", "0, x", "a mask whose rle, top or left are no whole numbers"),
        ("10,8;20,8", "10,8;nan,8", "line 9: the coordinate nan lies in no image"),
        ("10,8;20,8;20,18;10,18", "10,8;20,8", "line 9: a polygon of 2 points; expected 3 or more"),
        ("10,8;20,8", "10,8;20", "line 9: expected pairs of numbers"),
        (' xtl="0"', "", "line 14: <box> lacks 'xtl'"),
        ('<tag label="car">', '<blob label="car">', "line 11"),
        ('width="32"', 'width="0"', "no size of an image"),
        ("<version>", '<track id="0" label="car"></track><version>', "has tracks of a video"),
    ],
)
def test_what_is_wrong_in_cvat_is_one_line(old, new, told, tmp_path):
    annotated_folders.cvat(tmp_path)
    path = tmp_path / "annotations.xml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=told) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_cvat_keeps_colours_and_says_what_is_left_out(tmp_path):
    annotated_folders.cvat(tmp_path)
    found = read(tmp_path)
    assert found.colors == ((0, 0, 0), (255, 0, 0), (0, 255, 0))
    assert found.notes[0].startswith("1 shapes of the kind 'tag', left out (first: ")


def test_the_subset_of_cvat_is_the_split(tmp_path):
    annotated_folders.cvat(tmp_path)
    path = tmp_path / "annotations.xml"
    path.write_text(path.read_text().replace('name="two.jpg"', 'name="two.jpg" subset="Validation"'))
    assert sorted(read(tmp_path).images) == ["one", "val/two"]


# Label Studio -------------------------------------------------------------------------------------------------------


def label_studio(root, change):
    annotated_folders.label_studio(root)
    path = root / "project.json"
    values = json.loads(path.read_text())
    change(values)
    write(path, values)
    return root


def region(**changes):
    def change(values):
        values[0]["annotations"][0]["result"][0].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (region(image_rotation=90), "the image was turned by 90 degrees"),
        (region(original_height=None), "height None and width 32 are no size"),
        (region(original_height=99), "name the sizes"),
        (region(value={"polygonlabels": ["car"]}), "a polygon lacks 'points'"),
        (region(type="brushlabels", value={"brushlabels": ["car"], "rle": [900]}), "rle is no list of bytes"),
        (region(type="brushlabels", value={"brushlabels": ["car"], "format": "png"}), "only rle is read"),
        (lambda values: values[0].update(data={"text": "x"}), "task 0: its data names no image"),
        (
            lambda values: [task.update(annotation_id=1, label=task.pop("annotations")) for task in values],
            "export it as JSON, not as JSON-MIN",
        ),
    ],
)
def test_what_is_wrong_in_label_studio_is_one_line(change, told, tmp_path):
    with pytest.raises(UserError, match=told) as caught:
        read(label_studio(tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (region(type="keypointlabels", value={}), "1 regions of the kind 'keypointlabels', left out"),
        (region(value={"points": [[1, 1]]}), "1 regions without a label, left out"),
        (lambda values: values[0].update(annotations=[]), "1 tasks that nobody has annotated, left out"),
        (
            lambda values: [task.update(annotations=[], predictions=task["annotations"]) for task in values],
            "2 tasks whose predictions are taken, since no task has annotations",
        ),
        (lambda values: values[0]["annotations"].append({}), "1 tasks with several annotations"),
        (lambda values: values[0].update(annotations=[{"result": []}]), "1 images without regions, all background"),
    ],
)
def test_what_is_odd_in_label_studio_is_noted(change, note, tmp_path):
    assert read(label_studio(tmp_path, change)).notes[1].startswith(note)


def test_the_labelling_interface_gives_the_order_of_the_classes(tmp_path):
    annotated_folders.label_studio(tmp_path)
    assert read(tmp_path).notes[0] == "the classes are those of the labels that occur, by alphabet"
    labels = "".join(f'<Label value="{name}" background="#00ff00"/>' for name in ("tree", "bush"))
    write(tmp_path / "labeling.xml", f'<View><Image name="i"/><PolygonLabels name="p">{labels}</PolygonLabels></View>')
    found = read(tmp_path)
    assert found.class_names == ("background", "tree", "bush", "car")
    assert found.notes[0] == "the classes are those of labeling.xml"


# YOLO ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2 .1 .1 .5 .1 .5 .5", "one.txt: line 1: class '2'; expected a number 0 to 1"),
        ("car .1 .1 .5 .1 .5 .5", "class 'car'; expected a number"),
        ("0 .1 .1 .5 .1 .5", "5 numbers after the class"),
        ("0 10 10 50 10 50 50", "the coordinate 50; expected fractions"),
        ("0 .1 nan .5 .1 .5 .5", "the coordinate nan lies in no image"),
    ],
)
def test_what_is_wrong_in_yolo_is_one_line(line, told, tmp_path):
    annotated_folders.yolo(tmp_path)
    write(tmp_path / "labels" / "train" / "one.txt", line)
    write(tmp_path / "labels" / "train" / "two.txt", "0 .1 .1 .5 .1 .5 .5")
    with pytest.raises(UserError, match=told):
        read(tmp_path) if line[0] == "2" or line[0] == "0" else recognise.read(
            str(tmp_path), recognise.Candidate("yolo", (str(tmp_path / "labels" / "train" / "one.txt"),)), Options()
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: [car, car]", "the name 'car' occurs twice"),
        ("names: {0: car, 2: tree}", "expected names: a list of names, or numbers from 0"),
        ("a: [", "line 1: is no YAML|line 2: is no YAML"),
        ("!!python/object/apply:os.system [exit]", "is no YAML"),
        ("nc: 2", "expected names"),
    ],
)
def test_damaged_names_of_yolo_are_one_line(text, told, tmp_path):
    annotated_folders.yolo(tmp_path)
    write(tmp_path / "data.yaml", text)
    with pytest.raises(UserError, match=told):
        read(tmp_path)


def test_yolo_of_boxes_is_refused_and_a_box_among_polygons_is_drawn(tmp_path):
    annotated_folders.yolo(tmp_path)
    (tmp_path / "labels" / "train" / "two.txt").write_text("1 .5 .5 .5 .5")
    found = read(tmp_path)
    assert found.notes == ("1 boxes among the polygons, drawn as they are",)
    assert drawn(found, "train/two").labels[6:18, 8:24].all()
    (tmp_path / "labels" / "train" / "one.txt").write_text("1 .5 .5 .5 .5")
    with pytest.raises(UserError, match="have boxes only"):
        read(tmp_path)


def test_yolo_with_classes_txt_and_an_image_without_labels(tmp_path):
    annotated_folders.yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    write(tmp_path / "labels" / "classes.txt", "car\ntree\n")
    fake_data.save(fake_data.image(*SIZE), tmp_path / "results.png")
    (tmp_path / "labels" / "train" / "two.txt").unlink()
    found = read(tmp_path)
    assert found.class_names == annotated_folders.NAMES
    assert found.notes[0].startswith("1 images without shapes, all background")
    assert found.notes[1] == "1 images outside of the folders named images, left out"
    (tmp_path / "labels" / "classes.txt").unlink()
    assert read(tmp_path, class_names=("nothing", "car", "tree")).class_names == ("nothing", "car", "tree")
    with pytest.raises(UserError, match=r"no data.yaml or classes.txt says what the classes"):
        read(tmp_path)


# Masks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("car;250,50,83", "line 5: 'car;250,50,83' is not name:red,green,blue:parts:actions"),
        ("bus:250,50,83::", "line 5: .*: another class has this colour"),
        ("bus:250,50,300::", "line 5: .*: expected a new name and three numbers 0 to 255"),
    ],
)
def test_what_is_wrong_in_labelmap_is_one_line(line, told, tmp_path):
    annotated_folders.cvat_masks(tmp_path)
    with open(tmp_path / "labelmap.txt", "a") as file:
        file.write(line)
    with pytest.raises(UserError, match=told):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0, a\n1, b\n3, c", "pixel values are .0, 1, 3.; expected 0, 1, 2"),
        ("Pixel Value, Class\n0, a\n0, b", "line 3: '0,b' is no new pixel value"),
        ("x", "pixel values are ..;"),
    ],
)
def test_what_is_wrong_in_classes_of_roboflow_is_one_line(text, told, tmp_path):
    annotated_folders.roboflow_masks(tmp_path)
    write(tmp_path / "train" / "_classes.csv", text)
    with pytest.raises(UserError, match=told):
        read(tmp_path)


def test_void_of_labelmap_is_a_colour_that_does_not_count(tmp_path):
    annotated_folders.cvat_masks(tmp_path)
    with open(tmp_path / "labelmap.txt", "a") as file:
        file.write("void:224,224,192::\n")
    found = read(tmp_path)
    assert found.class_names == annotated_folders.NAMES
    assert found.ignore_colors == ((224, 224, 192),)
