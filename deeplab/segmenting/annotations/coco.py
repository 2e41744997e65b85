"""COCO instances: one JSON file, one annotation with one polygon for each shape.

Holes are cut open by a seam. COCO itself has run lengths for them, but most tools that read COCO show polygons alone,
and some take run lengths for crowds, which trainings leave out. Source: https://cocodataset.org/#format-data.
"""

import json

FILE = "coco/annotations.json"


def write(file, annotated, categories):
    """Writes the file.

    Args:
      file: function (text), which adds to the file.
      annotated: iterable of `parts.Annotated`.
      categories: list of `parts.Category`.
    """
    ids = {category.label: category.id for category in categories}
    named = [{"id": category.id, "name": category.name, "supercategory": ""} for category in categories]
    file('{"info": {"description": "Predictions"}, "licenses": [],\n"categories": ' + json.dumps(named))
    file(',\n"annotations": [')
    images, number = [], 0
    for image_id, one in enumerate(annotated, 1):
        height, width = one.size
        images.append({"id": image_id, "file_name": one.image, "width": width, "height": height})
        for shape in one.shapes:
            file((",\n" if number else "\n") + json.dumps(_annotation(number + 1, image_id, shape, ids)))
            number += 1
    file('],\n"images": [' + ",".join("\n" + json.dumps(image) for image in images) + "]}\n")


def _annotation(number, image_id, shape, ids):
    ring = shape.ring().round(2)
    (left, top), (right, bottom) = ring.min(0).tolist(), ring.max(0).tolist()
    return {
        "id": number,
        "image_id": image_id,
        "category_id": ids[shape.label],
        "segmentation": [ring.reshape(-1).tolist()],
        "area": round(shape.area(), 2),
        "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
        "iscrowd": 0,
    }
