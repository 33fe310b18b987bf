KINDS: tuple[str, ...]

_Row = tuple[int, int, int, float, int, tuple[int, ...] | None, tuple[int, ...] | None]
_Found = tuple[int, int, int, int, int, float, float, float, float, bytes, bytes]

def compute(rows: list[_Row], vectors: bool = True) -> list[_Found]: ...
