"""Pictures and tables of any library as bytes that anybody can open: PNG or JPEG, and JSON."""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_PIXEL_LIMIT = 50_000_000
_ROW_LIMIT = 100_000
_BYTES_LIMIT = 64 * 1024 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    """An encoded picture; width and height in pixels, None where they could not be told."""

    data: bytes
    format: str
    width: int | None
    height: int | None


def encode_image(image: Any) -> Picture:
    """PNG or JPEG bytes of a path, bytes, Pillow image, matplotlib figure or array.

    Raises TypeError for anything else, ValueError for more than 50 million pixels or 64 MiB.
    """
    if isinstance(image, (str, os.PathLike)):
        image = Path(image).read_bytes()
    if isinstance(image, (bytes, bytearray)):
        return _check_size(_described(bytes(image)))
    if hasattr(image, "savefig"):
        width, height = (round(float(inches) * float(image.dpi)) for inches in image.get_size_inches())
        _check_pixels(width, height)
        return _saved(lambda stream: image.savefig(stream, format="png"))
    if hasattr(image, "save") and hasattr(image, "mode"):
        _check_pixels(*image.size)
        return _saved(lambda stream: image.save(stream, format="PNG"))
    return _array_to_png(image)


def encode_table(table: Any) -> tuple[list[str], list[list[Any]], bytes]:
    """Column names, rows of JSON values, and the same rows as JSON lines.

    table: pandas, polars or pyarrow frame, mapping of columns, iterable of mappings or of rows, 2-d array. Raises
    TypeError for anything else and ValueError for more than 100,000 rows.
    """
    from barograph.capture.plain import to_plain

    columns, rows = _columns_and_rows(table)
    if len(rows) > _ROW_LIMIT:
        raise ValueError(
            f"a table of {len(rows)} rows is more than the {_ROW_LIMIT} that a run keeps; log a part of it"
        )
    plain = [[_cell(value, to_plain) for value in row] for row in rows]
    lines = "\n".join(json.dumps(row) for row in plain).encode("ascii")
    if len(lines) > _BYTES_LIMIT:
        raise ValueError(f"a table of {len(lines)} bytes is more than the {_BYTES_LIMIT} that a run keeps")
    return columns, plain, lines


def _cell(value: Any, to_plain: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return to_plain(value).value


def _columns_and_rows(table: Any) -> tuple[list[str], list[list[Any]]]:
    if hasattr(table, "to_pydict"):  # pyarrow
        table = table.to_pydict()
    elif hasattr(table, "to_dict") and hasattr(table, "columns"):  # pandas, polars
        if hasattr(table, "iloc"):
            table = {str(name): table.iloc[:, index].tolist() for index, name in enumerate(table.columns)}
        else:
            table = table.to_dict(as_series=False)
    if isinstance(table, Mapping):
        columns = {str(name): list(values) for name, values in table.items()}
        count = max((len(values) for values in columns.values()), default=0)
        rows = [[values[i] if i < len(values) else None for values in columns.values()] for i in range(count)]
        return list(columns), rows
    if hasattr(table, "tolist"):
        table = table.tolist()
    if not isinstance(table, Iterable) or isinstance(table, (str, bytes)):
        raise TypeError(f"a table must be a data frame, a mapping of columns or rows, got {type(table).__name__}")
    listed = list(table)
    if all(isinstance(row, Mapping) for row in listed):
        names = list(dict.fromkeys(str(name) for row in listed for name in row))
        by_name = [{str(name): value for name, value in row.items()} for row in listed]
        return names, [[row.get(name) for name in names] for row in by_name]
    rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in listed]
    return [str(index) for index in range(max((len(row) for row in rows), default=0))], rows


def _saved(save: Any) -> Picture:
    stream = io.BytesIO()
    save(stream)
    return _check_size(_described(stream.getvalue()))


def _described(data: bytes) -> Picture:
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return Picture(data, "png", width, height)
    if data.startswith(b"\xff\xd8"):
        return Picture(data, "jpg", None, None)
    if data.startswith(b"GIF8"):
        return Picture(data, "gif", *struct.unpack("<HH", data[6:10]))
    raise ValueError(f"an image must be PNG, JPEG or GIF; these {len(data)} bytes begin with {data[:8]!r}")


def _check_size(picture: Picture) -> Picture:
    if len(picture.data) > _BYTES_LIMIT:
        raise ValueError(f"an image of {len(picture.data)} bytes is more than the {_BYTES_LIMIT} that a run keeps")
    return picture


def _check_pixels(width: int, height: int) -> None:
    if width * height > _PIXEL_LIMIT:
        raise ValueError(f"an image of {width} x {height} pixels is more than the {_PIXEL_LIMIT} that a run keeps")


def _array_to_png(image: Any) -> Picture:
    import numpy as np

    from barograph.tensors.compute import on_host

    array = np.asarray(on_host(image))
    if array.dtype == object or array.ndim not in (2, 3):
        raise TypeError(
            f"an image must be a path, bytes, Pillow image, figure or array of 2 or 3 dimensions, "
            f"got {type(image).__name__} of shape {array.shape}"
        )
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[:, :, None]
    height, width, channels = array.shape
    if channels not in (1, 3, 4) or not width or not height:
        raise ValueError(f"an image array must have 1, 3 or 4 channels and no empty side, got shape {array.shape}")
    _check_pixels(width, height)
    if array.dtype.kind == "f":
        array = np.nan_to_num(array) * 255.0
    elif array.dtype.kind == "b":
        array = array * 255
    pixels = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    # Each row begins with its filter type, 0: none. Colour types 0, 2, 6 are grey, RGB, RGBA (PNG specification, 11.2).
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * channels)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    data = _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + _chunk(b"IEND", b"")
    return Picture(data, "png", width, height)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
