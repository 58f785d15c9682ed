"""Route templates, matched as ASP.NET does as far as function apps use it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from .functions import Function, HostRefused

_CONSTRAINTS = {
    "": "[^/]+",
    "alpha": "[A-Za-z]+",
    "int": r"-?\d+",
    "guid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
}
_PARAMETER = re.compile(r"\{(\*?)(\w+)(?::(\w+))?(\??)\}")


class Routes:
    """Every HTTP function's route, tried in alphabetical order of function name."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._routes = [(function, _pattern(function)) for function in functions]

    def find(self, method: str, path: str) -> tuple[Function, Mapping[str, str]] | None:
        """Return the first function whose method and route fit, with the route's parameters.

        *path* is as it came, percent-encoded; an encoded slash stays encoded.
        """
        for function, pattern in self._routes:
            found = pattern.fullmatch(path)
            if found and (not function.methods or method in function.methods):
                return function, {
                    name: unquote(re.sub("%2f", "%252F", value, flags=re.IGNORECASE))
                    for name, value in found.groupdict().items()
                    if value
                }
        return None


def _pattern(function: Function) -> re.Pattern[str]:
    pattern = ""
    for segment in function.route.split("/"):
        parameter = _PARAMETER.fullmatch(segment)
        if parameter and (parameter[1] or parameter[4]):
            pattern += f"(?:/{_group(function, parameter)})?"
        else:
            pattern += "/" + _segment(function, segment)
    return re.compile(f"{pattern or '/'}/?", re.IGNORECASE)


def _segment(function: Function, segment: str) -> str:
    pattern, end = "", 0
    for parameter in _PARAMETER.finditer(segment):
        pattern += re.escape(segment[end : parameter.start()]) + _group(function, parameter)
        end = parameter.end()
    rest = segment[end:]
    if "{" in rest or "}" in rest:
        raise HostRefused(f"{function.name}: this host does not know the route part '{segment}'.")
    return pattern + re.escape(rest)


def _group(function: Function, parameter: re.Match[str]) -> str:
    star, name, constraint, _ = parameter.groups()
    if (constraint or "") not in _CONSTRAINTS:
        raise HostRefused(f"{function.name}: this host knows no route constraint '{constraint}'.")
    return f"(?P<{name}>{'.*' if star else _CONSTRAINTS[constraint or '']})"
