"""How lists and hostile texts are said on a terminal."""

from barograph.voice import listed, visible


def test_the_first_names_and_the_number_of_others_are_said() -> None:
    """Few names are all there."""
    assert listed([]) == ""
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert listed(list("abc"), most=1) == "a and 2 more"


def test_what_would_move_the_cursor_or_hide_text_is_shown() -> None:
    """Escapes, overrides of the direction and lone surrogates; letters of any language stay."""
    assert visible("\x1b[2J\u202egnp\ud800") == "\\x1b[2J\\u202egnp\\ud800"
    assert visible("Größe 長さ") == "Größe 長さ"
