"""The settings of a run: one frozen dataclass, read when a run starts; each field has default, unit, variable."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from barograph.errors import SettingsError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _setting(default: Any, variable: str, about: str) -> Any:  # Any: the type of the field decides
    return dataclasses.field(default=default, metadata={"variable": variable, "about": about})


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What can be changed about every run of a process, by `BAROGRAPH_...` variables.

    `Settings.read()` takes the environment as it is at that moment. Raises SettingsError that names every variable
    with an unusable value at once.
    """

    mode: str = _setting("on", "BAROGRAPH_MODE", "'on', or 'disabled': every call is a no-op")
    store: str | None = _setting(None, "BAROGRAPH_STORE", "folder of the store; see README, Where data goes")
    project: str | None = _setting(None, "BAROGRAPH_PROJECT", "project of runs that are given none")
    quiet: bool = _setting(False, "BAROGRAPH_QUIET", "say nothing on the terminal")
    system_every_s: float = _setting(5.0, "BAROGRAPH_SYSTEM_EVERY_S", "seconds between system samples; 0 switches off")
    sync_every_s: float = _setting(
        1.0, "BAROGRAPH_SYNC_EVERY_S", "seconds between fdatasync calls: lost in a power cut"
    )
    heartbeat_s: float = _setting(10.0, "BAROGRAPH_HEARTBEAT_S", "seconds between beats in the journal")
    buffer_limit_bytes: int = _setting(
        64 * 1024 * 1024, "BAROGRAPH_BUFFER_LIMIT_BYTES", "bytes kept in memory while the disk refuses"
    )
    exit_timeout_s: float = _setting(
        5.0, "BAROGRAPH_EXIT_TIMEOUT_S", "seconds that the end of a process may be delayed"
    )
    overhead_budget: float = _setting(0.02, "BAROGRAPH_OVERHEAD_BUDGET", "share of the training's time we may take")
    native: bool = _setting(True, "BAROGRAPH_NATIVE", "use the C extensions where they were built")
    artifact_copy_limit_bytes: int = _setting(
        1 << 30, "BAROGRAPH_ARTIFACT_COPY_LIMIT_BYTES", "bytes of an artifact that is copied unless told otherwise"
    )
    capture: bool = _setting(True, "BAROGRAPH_CAPTURE", "record what surrounds the training; the next five are parts")
    capture_environment: bool = _setting(
        True, "BAROGRAPH_CAPTURE_ENVIRONMENT", "command line, chosen variables, packages, machine"
    )
    capture_code: bool = _setting(
        True, "BAROGRAPH_CAPTURE_CODE", "commit, uncommitted changes, new and imported sources, cells of a notebook"
    )
    capture_seeds: bool = _setting(
        True, "BAROGRAPH_CAPTURE_SEEDS", "digests of random states, switches of determinism, numbers of threads"
    )
    capture_console: bool = _setting(True, "BAROGRAPH_CAPTURE_CONSOLE", "what goes to stdout and stderr")
    capture_data: bool = _setting(True, "BAROGRAPH_CAPTURE_DATA", "fingerprints and profiles of the data")
    console_limit_bytes: int = _setting(
        10 * 1024 * 1024, "BAROGRAPH_CONSOLE_LIMIT_BYTES", "bytes kept of it; then only its end"
    )

    reproduces: str | None = _setting(
        None, "BAROGRAPH_REPRODUCES", "RUN:MARK, the run that this process repeats; set by `barograph reproduce`"
    )

    def __post_init__(self) -> None:
        wrong = [
            f"{field.metadata['variable']}={getattr(self, field.name)!r}: must not be negative"
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), (int, float)) and getattr(self, field.name) < 0
        ]
        if self.mode not in ("on", "disabled"):
            wrong.append(f"BAROGRAPH_MODE={self.mode!r}: must be 'on' or 'disabled'")
        if wrong:
            raise SettingsError("; ".join(wrong))

    @classmethod
    def read(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        on_wrong: Callable[[str], None] | None = None,
        **overrides: object,
    ) -> "Settings":
        """The settings in force now: `overrides` that are not None, else the environment, else the defaults.

        on_wrong: called once with what is wrong with the environment, instead of raising; defaults take its place.
        """
        source = os.environ if environment is None else environment
        values: dict[str, object] = {}
        wrong = []
        for field in dataclasses.fields(cls):
            variable = field.metadata["variable"]
            if overrides.get(field.name) is not None:
                values[field.name] = overrides[field.name]
            elif text := source.get(variable, "").strip():
                try:
                    values[field.name] = _parse(text, field.default)
                    cls(**{field.name: values[field.name]})  # type: ignore[arg-type]  # _parse gives the field's type
                except (ValueError, SettingsError) as error:
                    values.pop(field.name, None)
                    wrong.append(f"{variable}={text!r}: {error}" if isinstance(error, ValueError) else str(error))
        if wrong and on_wrong is None:
            raise SettingsError("; ".join(wrong))
        if wrong and on_wrong is not None:
            on_wrong("; ".join(wrong) + "; the defaults are used instead")
        return cls(**values)  # type: ignore[arg-type]  # as above


def _parse(text: str, default: object) -> object:
    if isinstance(default, bool):
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError("must be 1 or 0")
    if isinstance(default, int):
        return int(text)
    if isinstance(default, float):
        return float(text)
    return text
