"""The framework of settings: how a setting is defined, once, and what is derived from its definition.

A settings class is a frozen dataclass whose fields are made by `setting` or, where the weights have a say, by
`recommended_setting`. Its fields may be settings classes themselves; a setting then has a dotted name, such as
``window.stride``. From the definitions, which `specs_of` lists, come the checks, the ROS parameters, the YAML files,
the options of the command lines and the tables of the documentation.

A setting has two spellings. Outside (ROS parameters, YAML, command lines) it is a Boolean, a number or a text, and one
value of it, such as 0, -1 or ``auto``, may mean "as the weights recommend", for a ROS parameter cannot be empty. Inside
the code that is said in one way, by the value `RECOMMENDED`. `SettingSpec.from_public` and `SettingSpec.to_public`
translate between the two.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SettingValue = bool | int | float | str
"""What a setting can be outside of the code: what ROS parameters, YAML and texts can hold."""


class Recommended(Enum):
    """The type of the one value `RECOMMENDED`."""

    BY_THE_WEIGHTS = "recommended"


RECOMMENDED: Final = Recommended.BY_THE_WEIGHTS
"""The value of a setting that is left to the weights; `slam3r_ros.settings.SlamSettings.resolved` replaces it."""


class ChangeTime(Enum):
    """When a setting of a program that runs may change."""

    WHILE_ACTIVE = "at any time"
    """At any time: it holds from the next keyframe or message on."""
    WHILE_INACTIVE = "while inactive"
    """While nothing is received; it holds when that begins again."""
    BEFORE_CONFIGURED = "before configuring"
    """Only before anything is made by it."""


_WORDS: dict[str, bool] = {
    **dict.fromkeys(("true", "1", "on", "yes"), True),
    **dict.fromkeys(("false", "0", "off", "no"), False),
}
Value = TypeVar("Value", bound=SettingValue)
Settings = TypeVar("Settings", bound="DataclassInstance")


class SettingError(ValueError):
    """A setting is unknown, of the wrong type or out of range; the message names it and says what was expected."""


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """The definition of one setting, in its public spelling."""

    name: str
    """The dotted name: the fields from the outermost settings class to the setting, for example ``window.radius``."""
    default: SettingValue
    """The public value that holds where none is given; its type is the setting's type."""
    meaning: str
    """What the setting does, in whole sentences that can be read alone."""
    unit: str
    """The unit of a number, empty where it has none."""
    minimum: float | None
    """The least number that is allowed; None where there is no limit."""
    maximum: float | None
    """The largest number that is allowed; None where there is no limit."""
    choices: tuple[str, ...]
    """The texts that are allowed; empty where every value is."""
    change_time: ChangeTime
    """When it may change."""
    published: SettingValue | None = None
    """What the published weights recommend; None for a setting in which weights have no say.

    Where weights have a say, ``default`` is the public spelling of `RECOMMENDED`.
    """

    def check(self, value: object) -> SettingValue:
        """``value``, which is public, as the setting's type; SettingError says what was expected and what came."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(value, bool) and {"on", "off"} <= set(self.choices):
            value = "on" if value else "off"  # YAML, and so ROS, reads an unquoted on or off as a Boolean
        if type(value) is not kind:
            raise SettingError(f"{self.name}: expected {kind.__name__}, got {value!r}")
        if isinstance(value, float) and math.isnan(value):
            raise SettingError(f"{self.name}: expected a number, got NaN")
        if self.choices and value not in self.choices:
            raise SettingError(f"{self.name}: expected one of {', '.join(self.choices)}, got {value!r}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = self.minimum, self.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                raise SettingError(f"{self.name}: expected {self.range_text}, got {value!r}")
        return value

    def parse(self, text: str) -> SettingValue:
        """The public value that a text of a command line means; raises SettingError as `check` does."""
        kind = type(self.default)
        value: object = text
        with suppress(KeyError, ValueError):  # of a text that is no such value: `check` says what was expected
            value = _WORDS[text.strip().lower()] if kind is bool else kind(text)
        return self.check(value)

    def from_public(self, value: object) -> SettingValue | Recommended:
        """The value inside the code for a public one, which is checked; `RECOMMENDED` itself is taken as well."""
        if value is RECOMMENDED and self.published is not None:
            return RECOMMENDED
        checked = self.check(value)
        return RECOMMENDED if self.published is not None and checked == self.default else checked

    def to_public(self, value: SettingValue | Recommended) -> SettingValue:
        """The public value for one inside the code."""
        return self.default if isinstance(value, Recommended) else value

    @property
    def range_text(self) -> str:
        """The range or the choices in words, empty if there is none."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return f"at most {self.maximum:g}" if self.maximum is not None else ""


def setting(
    default: Value,
    meaning: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    change_time: ChangeTime = ChangeTime.BEFORE_CONFIGURED,
) -> Value:
    """A field of a settings class: default, meaning in whole sentences, unit, inclusive range or choices, and when it
    may change."""
    spec = SettingSpec("", default, meaning, unit, minimum, maximum, choices, change_time)
    return field(default=default, metadata={"spec": spec})


def recommended_setting(
    published: Value,
    meaning: str,
    *,
    public: Value,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    change_time: ChangeTime = ChangeTime.BEFORE_CONFIGURED,
) -> Value:
    """A field of a settings class that is left to the weights unless it is given: its default is `RECOMMENDED`.

    The field's annotation is the type that it has once the settings are resolved. ``published``: what the published
    weights recommend. ``public``: the public value that means `RECOMMENDED`; it must be in range, and cannot be given
    as a value of its own. The meaning is completed by a sentence that says so. The others as for `setting`.
    """
    said = f'"{public}"' if isinstance(public, str) else f"{public:g}"
    meaning = f"{meaning} {said} takes what the weights recommend."
    spec = SettingSpec("", public, meaning, unit, minimum, maximum, choices, change_time, published)
    return cast(Value, field(default=RECOMMENDED, metadata={"spec": spec}))


def specs_of(settings_class: type, prefix: str = "") -> Iterator[SettingSpec]:
    """The definitions of a settings class in order, those of its settings classes under ``<field>.``."""
    for each in fields(settings_class):
        if "spec" in each.metadata:
            yield replace(each.metadata["spec"], name=prefix + each.name)
        else:
            yield from specs_of(cast(type, each.default_factory), f"{prefix}{each.name}.")


def value_of(settings: object, name: str) -> SettingValue | Recommended:
    """The value of the setting of a dotted name, as it is inside the code; raises SettingError for an unknown one."""
    value: object = settings
    try:
        for part in name.split("."):
            value = getattr(value, part)
    except AttributeError:
        raise _unknown(type(settings), name) from None
    return cast(SettingValue | Recommended, value)


def with_values(settings: Settings, values: Mapping[str, object]) -> Settings:
    """A copy of a settings class's instance with other values, public or `RECOMMENDED`, by dotted name.

    Raises SettingError naming an unknown or wrong one.
    """
    specs = {spec.name: spec for spec in specs_of(type(settings))}
    changes: dict[str, object] = {}
    for name, value in values.items():
        if name not in specs:
            raise _unknown(type(settings), name)
        changes[name] = specs[name].from_public(value)
    return _replaced(settings, changes)


def check_values(settings: object) -> None:
    """Check every value of an instance of a settings class; raises SettingError naming one that is wrong.

    For ``__post_init__``. The public value that means `RECOMMENDED` is refused: inside the code it has no meaning.
    """
    for spec in specs_of(type(settings)):
        value = value_of(settings, spec.name)
        if value is not RECOMMENDED and spec.from_public(value) is RECOMMENDED:
            raise SettingError(f"{spec.name}: expected a value or RECOMMENDED, got {value!r}")


def _replaced(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """A copy with these values inside, by dotted name."""
    of_this = {name: value for name, value in changes.items() if "." not in name}
    inner = {name.partition(".")[0] for name in changes if "." in name}
    for field_name in inner:
        prefix = f"{field_name}."
        of_field = {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}
        of_this[field_name] = _replaced(getattr(settings, field_name), of_field)
    return replace(settings, **of_this)


def _unknown(settings_class: type, name: str) -> SettingError:
    return SettingError(f"unknown setting '{name}'; {nearest(name, [spec.name for spec in specs_of(settings_class)])}")


def nearest(name: str, known: Sequence[str], limit: int = 3) -> str:
    """What to say of a name that is unknown: the known ones that are most like it, or all of them where none is."""
    near = difflib.get_close_matches(name, known, n=limit, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
