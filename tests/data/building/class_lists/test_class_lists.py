"""Class lists of every form that people have, and what is no class list."""

import json

import pytest

from deeplab.data.building.class_lists import reading
from deeplab.data.building.class_lists.rows import ClassList
from deeplab.errors import UserError

NAMES = ("sky", "road sign", "tree")
COLORS = ((70, 130, 180), (128, 64, 128), (0, 0, 0))
IDS = {1: 0, 4: 1, 7: 2}
ROWS = list(zip(NAMES, COLORS, IDS, strict=True))
HEXES = ["#4682b4", "#804080", "#000000"]
NAMED = ClassList(NAMES)
COLORED = ClassList(NAMES, COLORS)
NUMBERED = ClassList(NAMES, ids=IDS)
BOTH = ClassList(NAMES, COLORS, IDS)
ODD_NAMES = ("building, edifice", "tv/monitor", "N/A")
LABELMAP = "# label:color_rgb:parts:actions\nsky:70,130,180::\nroad sign:128,64,128:a,b:\ntree:0,0,0::x\n"


def lines(*parts, end="\n"):
    return end.join(parts) + end


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("c.json", json.dumps(NAMES), NAMED),
        ("c.json", json.dumps({"names": NAMES}), NAMED),
        ("c.json", json.dumps({"class_names": NAMES, "colors": COLORS, "num_classes": 3}), COLORED),
        ("c.json", json.dumps(dict(zip(NAMES, range(3), strict=True))), NAMED),
        ("c.json", json.dumps(dict(zip(NAMES, IDS, strict=True))), NUMBERED),
        ("c.json", json.dumps({str(i): name for name, _, i in reversed(ROWS)}), NUMBERED),
        ("c.json", json.dumps(dict(zip(NAMES, COLORS, strict=True))), COLORED),
        ("c.json", json.dumps(dict(zip(NAMES, HEXES, strict=True))), COLORED),
        ("c.json", json.dumps(dict(zip(HEXES, NAMES, strict=True))), COLORED),
        ("c.json", json.dumps([{"name": n, "color": c, "isthing": 1} for n, c, _ in ROWS]), COLORED),
        ("c.json", json.dumps([{"class": n, "hex": h} for n, h in zip(NAMES, HEXES, strict=True)]), COLORED),
        ("c.json", json.dumps({"labels": [{"name": n, "rgb": c, "id": i} for n, c, i in ROWS]}), BOTH),
        ("c.json", json.dumps({i: {"name": n, "color": c} for n, c, i in ROWS}), BOTH),
        ("c.json", json.dumps({n: {"id": i, "color": c} for n, c, i in ROWS}), BOTH),
        ("c.json", json.dumps({"images": [], "categories": [{"id": i, "name": n} for n, _, i in ROWS]}), NUMBERED),
        ("c.json", json.dumps({"sky": 1, "road sign": 4, "tree": 7, "void": 255}), NUMBERED._replace(void_ids=(255,))),
        ("c.json", json.dumps({"sky": 0, "road sign": 1, "tree": 2, "plate": -1}), NAMED),
        ("c.csv", "Pixel Value, Class\n 0, sky\n 1, road sign\n 2, tree\n", NAMED),
        ("c.csv", "name;r;g;b\r\nsky;70;130;180\r\nroad sign;128;64;128\r\ntree;0;0;0\r\n", COLORED),
        ("c.csv", lines("name,r,g,b,supercategory", *(f"{n},{r},{g},{b},x" for n, (r, g, b), _ in ROWS)), COLORED),
        ("c.csv", lines(*(f"{n},{r},{g},{b}" for n, (r, g, b), _ in ROWS)), COLORED),
        ("c.csv", lines(*(f"{r},{g},{b},{n}" for n, (r, g, b), _ in ROWS)), COLORED),
        ("c.csv", lines(*(f"{i}|{n}|{h}" for (n, _, i), h in zip(ROWS, HEXES, strict=True))), BOTH),
        ("c.csv", lines('"name","color"', *(f'"{n}","{r}, {g}, {b}"' for n, (r, g, b), _ in ROWS)), COLORED),
        ("c.csv", lines("Klasse,Wert", *(f"{n},{i}" for n, _, i in ROWS)), NUMBERED),
        ("c.tsv", lines("class_name\tred\tgreen\tblue", *("\t".join([n, *map(str, c)]) for n, c, _ in ROWS)), COLORED),
        ("c.tsv", lines("# made by hand", "id\tname", *(f"{i}\t{n}" for n, _, i in ROWS)), NUMBERED),
        ("c.csv", lines(*(f"{h},{n}" for n, h in zip(NAMES, HEXES, strict=True))), COLORED),
        ("c.csv", lines("class", *NAMES, end="\r\n"), NAMED),
        ("labelmap.txt", LABELMAP, COLORED),
        ("labels.txt", lines("__ignore__", *NAMES), NAMED),
        ("classes.txt", lines(*NAMES, end="\r\n"), NAMED),
        ("classes.txt", lines("# the classes", "", "classes", *NAMES), NAMED),
        ("classes.txt", lines(*(f"{i} {n}" for n, _, i in ROWS)), NUMBERED),
        ("classes.txt", lines(*(f"{i}: {n}" for n, _, i in ROWS)), NUMBERED),
        ("classes.txt", lines(*(f"{n}={i}" for n, _, i in ROWS)), NUMBERED),
        ("classes.txt", lines(*(f"{n},{i}" for n, _, i in ROWS)), NUMBERED),
        ("label_colors.txt", lines(*(f"{r} {g} {b}\t{n}" for n, (r, g, b), _ in ROWS)), COLORED),
        ("classes.txt", lines(*ODD_NAMES), ClassList(ODD_NAMES)),
        ("data.yaml", "path: ../x  # c\ntrain: images/train\nnc: 3\nnames: [sky, 'road sign', \"tree\"]\n", NAMED),
        ("data.yaml", "names:\n  0: sky\n  1: road sign # a sign\n  2: 'tree'\nnc: 3\n", NAMED),
        ("data.yaml", "nc: 3\nnames:\n- sky\n- road sign\n- tree\nroboflow:\n  workspace: a\n  version: 1\n", NAMED),
        ("data.yml", "names: ['sky',\n  'road sign',\n  'tree']\nval: x\n", NAMED),
        ("data.yaml", "names: {1: sky, 4: road sign, 7: tree}\n", NUMBERED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_is_understood(file, text, expected, encoding, tmp_path):
    (tmp_path / file).write_bytes(text.encode(encoding))
    found = reading.read(str(tmp_path / file))
    assert found._replace(notes=()) == expected
    assert found.source_ids == (tuple(expected.ids) if expected.ids else ())
    assert all("does not count" in note for note in found.notes)
    assert len(found.notes) == len(expected.void_ids) + ("__ignore__" in text or "plate" in text)


def test_equal_names_of_several_ids_become_one_class(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"categories": [{"id": i, "name": n} for i, n in enumerate(["a", "b", "a"])]}))
    found = reading.read(str(path))
    assert (found.names, found.ids, found.source_ids) == (("a", "b"), {0: 0, 1: 1, 2: 0}, (0, 1))
    assert "ids 0 and 2 are both 'a'" in found.notes[0]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("c.json", '["a",\n"b",\n3]', "line 3: 3 is no class"),
        ("c.json", '["a",\n"b"', "line 2: no JSON"),
        ("c.json", '{"a": 1,\n"b": 2.5}', "line 2: 'b': '2.5' is neither an id nor a colour"),
        ("c.json", '{"a": 1,\n"a": 2}', "'a' occurs twice"),
        ("c.json", '{"a": [1,2,3],\n"b": [1,2,300]}', "line 2: 'b'"),
        ("c.json", '{"a": 1, "b": 1}', "'b' has the id 1 as line 1"),
        ("c.json", '[{"name": "a", "color": [1,2,3]}, "b"]', "'b' has no color: 1 of 2 classes have a colour"),
        ("c.json", '"a"', "a JSON str is no list"),
        ("c.json", "[]", "names no classes"),
        ("c.json", "[" * 100000, "nested too deeply"),
        ("c.csv", "name,r,g,b\na,1,2,3\nb,1,2\n", "line 3: 3 columns where the first line has 4"),
        ("c.csv", "name,r,g,b\na,1,2,3\nb,1,2,333\n", "line 3: colour '1,2,333' of 'b'"),
        ("c.csv", "name,id\na,1\nb,x\n", "line 3: id 'x' of 'b'"),
        ("c.csv", "name,r,g,b\n", "it has a header alone"),
        ("c.csv", "a,b\nc,d\n", r"line 1: columns \['a', 'b'\]: expected names"),
        ("c.csv", "name,id\na,1\n,2\n", "line 3: the name is empty"),
        ("c.txt", "a\nb\na\n", "line 3: 'a' has the name 'a' as line 1"),
        ("c.txt", "0\n1\n2\n", "line 1: '0' is a number"),
        ("c.txt", "a\nitem {\n  id: 1\n}\n", r"line 2: 'item \{' is not understood"),
        ("c.txt", "names:\na\nb\n", "line 1: 'names:' is not understood"),
        ("c.txt", "a\npip install x\n", "line 2: 'pip install x' is not understood"),
        ("c.txt", "masks/0.png\nmasks/1.png\n", "line 1: 'masks/0.png' is not understood"),
        ("c.txt", "a\n__ignore__\n", "line 2: __ignore__ stands first"),
        ("c.txt", "# nothing\n", "names no classes"),
        ("labelmap.txt", "a:1,2,3::\nb:1,2,999::\n", "line 2: colour '1,2,999'"),
        ("data.yaml", "nc: 2\nnames: [a]\n", "line 1: 1 names where nc says 2"),
        ("data.yaml", "train: x\n", "has no field names"),
        ("data.yaml", "names:\n- a\n  b: [\n", "line [345]: is no YAML"),
        ("data.yaml", "names: {a: b}\n", "line 1: names: 'a': expected ID: NAME"),
        ("data.yaml", "names: [a, [b]]\n", "line 1: names: "),
        ("c.txt", b"\xe9t\xe9\n", "save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_the_line(file, text, message, tmp_path):
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=rf"^--class_names={tmp_path}/{file}[^\n]*{message}[^\n]*$"):
        reading.read(str(tmp_path / file))


def test_the_command_line_names_colours_or_ids():
    assert reading.read("sky,road sign,tree") == NAMED
    assert reading.read("sky=#4682b4, road sign=#804080,tree=#000000") == COLORED
    assert reading.read("sky=1,road sign=4,tree=7") == NUMBERED
    for text in ("sky=#8040", "sky=#zz4080", "sky=#804080,tree", "sky,sky", "a,,b", "a=1,b=99999"):
        with pytest.raises(UserError, match=r"^--class_names="):
            reading.read(text)


def test_lists_are_found_in_a_folder_and_the_usual_name_goes_first(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("x_classes.csv", "train/_classes.csv", "labelmap.txt", "notes.txt"):
        (tmp_path / name).write_text("a")
    found = [path.removeprefix(f"{tmp_path}/") for path in reading.found_in(str(tmp_path))]
    assert found == ["labelmap.txt", "x_classes.csv", "train/_classes.csv"]
