"""Pictures and tables of any library become bytes that anybody can open."""

import io

import numpy as np
import pytest

from barograph.media import encode_image, encode_table

PIL = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize(
    ("shape", "mode"), [((4, 6), "L"), ((4, 6, 1), "L"), ((4, 6, 3), "RGB"), ((4, 6, 4), "RGBA"), ((3, 4, 6), "RGB")]
)
def test_arrays_of_every_layout_become_png(shape: tuple[int, ...], mode: str) -> None:
    """An independent reader sees the same pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    picture = encode_image(pixels)
    image = PIL.open(io.BytesIO(picture.data))
    assert (picture.width, picture.height, image.size, image.mode) == (6, 4, (6, 4), mode)
    expected = np.moveaxis(pixels, 0, -1) if shape[0] == 3 else pixels
    assert np.array_equal(np.asarray(image).reshape(4, 6, -1), expected.reshape(4, 6, -1))


def test_floats_are_taken_from_zero_to_one() -> None:
    """0 is black, 1 is white, NaN and what lies beyond is clipped."""
    image = PIL.open(io.BytesIO(encode_image(np.array([[0.0, 1.0, 2.0, -1.0, np.nan, 0.5]])).data))
    assert np.asarray(image).tolist() == [[0, 255, 255, 0, 0, 128]]


def test_a_figure_and_a_pillow_image_are_saved() -> None:
    """matplotlib and Pillow write their own PNG."""
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    assert encode_image(figure)[1:] == ("png", 100, 50)
    assert encode_image(PIL.new("RGB", (7, 5)))[1:] == ("png", 7, 5)


@pytest.mark.parametrize(
    "image", [np.zeros((2, 3, 4, 5)), np.zeros((5, 5, 2)), np.array(["a"]), object(), b"no picture"]
)
def test_what_is_no_picture_is_refused(image: object) -> None:
    """A clear error instead of a wrong picture."""
    with pytest.raises((TypeError, ValueError), match="image"):
        encode_image(image)


def test_a_huge_picture_is_refused_before_it_is_made() -> None:
    """20,000 x 20,000 pixels are too many."""
    with pytest.raises(ValueError, match="pixels"):
        encode_image(np.broadcast_to(np.uint8(0), (20_000, 20_000)))


@pytest.mark.parametrize("make", ["pandas", "columns", "dicts", "rows"])
def test_tables_of_every_kind_are_columns_and_rows(make: str) -> None:
    """Frames, mappings of columns, lists of mappings and lists of rows say the same."""
    table: object
    if make == "pandas":
        table = pytest.importorskip("pandas").DataFrame({"a": [1, 2], "b": ["x", None]})
    else:
        table = {
            "columns": {"a": [1, 2], "b": ["x", None]},
            "dicts": [{"a": 1, "b": "x"}, {"a": 2}],
            "rows": [(1, "x"), (2, None)],
        }[make]
    columns, rows, lines = encode_table(table)
    assert columns == (["0", "1"] if make == "rows" else ["a", "b"])
    assert rows[0] == [1, "x"]
    assert rows[1][0] == 2
    assert len(lines.splitlines()) == 2


def test_a_table_of_too_many_rows_is_refused() -> None:
    """The limit is in the message."""
    with pytest.raises(ValueError, match="100000"):
        encode_table({"a": range(100_001)})
