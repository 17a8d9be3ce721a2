"""pydantic's errors as messages for users: the dotted key, what it must be, the value got, the nearest known name."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smart_tuner.masking import masked
from trainer.strict import nearest

_MUST = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "finite_number": "must be finite",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "greater_than": "must be greater than {gt:.10g}",
    "greater_than_equal": "must be at least {ge:.10g}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "less_than": "must be less than {lt:.10g}",
    "less_than_equal": "must be at most {le:.10g}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "path_type": "must be a path",
    "string_too_short": "must not be empty",
    "string_type": "must be text (put it in quotes)",
    "too_short": "must not be empty",
}


def problems(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """(dotted key, sentence that names it) for each problem; the key is empty for a check of the whole model.

    The text of a `ValueError` from a validator of the whole model is a list of sentences, one per line. The text of
    one from a field's validator continues a sentence that begins with the key.
    """
    details = error.errors()
    unknown = [detail["loc"][:-1] for detail in details if detail["loc"][-1:] == ("[key]",)]
    found: list[tuple[str, str]] = []
    for detail in details:
        loc = detail["loc"]
        if loc[-1:] == ("[key]",):
            loc = loc[:-1]
        elif any(loc[: len(outer)] == outer for outer in unknown):
            continue  # problems within an unknown key add nothing
        if loc:
            key = _dotted(model, loc)
            found.append((key, _sentence(detail, key, model)))
        else:
            found += [("", line) for line in _reason(detail).splitlines()]
    return found


def _sentence(detail: ErrorDetails, key: str, model: type[BaseModel]) -> str:
    kind, got = detail["type"], f"but got {shown(detail['input'])}."
    context = detail.get("ctx", {})
    if kind == "missing":
        return f"`{key}` is missing."
    if kind == "extra_forbidden":
        parent = key[: len(key) - len(str(detail["loc"][-1]))]
        known = [parent + name for name in _fields(_at(model, detail["loc"][:-1]))]
        return f"`{key}` is no known key; {nearest(key, known)}."
    if kind == "union_tag_not_found":
        tags = [tag for kind in get_args(_at(model, detail["loc"])) for tag in _tags(kind)]
        return f"`{key}.type` is missing; known: {', '.join(tags)}."
    if kind == "union_tag_invalid":
        return f"`{key}.type` must be one of {context['expected_tags']}, but got {context['tag']!r}."
    if kind == "value_error" and detail["loc"][-1] == "[key]":
        return f"`{key}` {_reason(detail)}."
    if kind == "value_error":
        return f"`{key}` {_reason(detail)}, {got}"
    must = _MUST[kind].format(**context) if kind in _MUST else detail["msg"]
    return f"`{key}` {must}, {got}"


def shown(value: Any) -> str:
    """A value as messages show it: shortened, and without passwords."""
    text = masked(repr(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _reason(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["error"]) if "ctx" in detail and "error" in detail["ctx"] else detail["msg"]


def _dotted(model: Any, loc: tuple[int | str, ...]) -> str:
    """("search", "optimizer.lr", "float", "low") -> "search.optimizer.lr.low": the tag of a union is left out."""
    text = ""
    for index, part in enumerate(loc):
        if index and _is_union(_at(model, loc[:index])):
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _at(annotation: Any, loc: tuple[int | str, ...]) -> Any:
    """The annotation of the value at `loc`; None if it cannot be determined."""
    for part in loc:
        annotation = _plain(annotation)
        if _is_union(annotation):
            annotation = next((a for a in get_args(annotation) if part in _tags(a)), None)
        elif _fields(annotation):
            annotation = annotation.model_fields[part].annotation if part in _fields(annotation) else None
        elif issubclass(get_origin(annotation) or object, Mapping):
            annotation = get_args(annotation)[1]
        else:
            annotation = next(iter(get_args(annotation)), None)
    return _plain(annotation)


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_union(annotation: Any) -> bool:
    """Whether it is a union of models with a `type` each; pydantic adds nothing to `loc` for other unions."""
    return get_origin(annotation) in (Union, UnionType) and all(_tags(a) for a in get_args(annotation))


def _tags(annotation: Any) -> tuple[Any, ...]:
    tag = annotation.model_fields.get("type") if _fields(annotation) else None
    return get_args(tag.annotation) if tag and get_origin(tag.annotation) is Literal else ()


def _fields(annotation: Any) -> list[str]:
    return list(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
