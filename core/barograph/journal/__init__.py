"""The append-only file of one writer of a run: its format, writer and reader."""
