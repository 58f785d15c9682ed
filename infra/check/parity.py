"""How two ARM templates differ: ``python -m infra.check.parity COMPILED KEPT``.

The workflow of the tests compares what the real compiler makes of ``resources.bicep`` with the
template that is kept in the repository: names, values and expressions. In which order a compiler
writes, and whether it gives resources symbolic names, is its own affair.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DEPLOYMENT = "Microsoft.Resources/deployments"
_OWN_WAYS = {"type", "apiVersion", "name", "dependsOn", "scope"}
"""What of a resource is compared otherwise, or follows from the rest."""


def outline(template: Mapping[str, Any]) -> frozenset[str]:
    """Return what the template deploys, a line for each fact.

    A fact is a value at a path: of a parameter, variable, output, or of a resource or module under
    its type, version and name. Expressions are given as text that every compiler agrees on.
    """
    return frozenset(_facts(template, ""))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the facts that only one of the templates has: ``-`` the first, ``+`` the second."""
    first, second = outline(one), outline(other)
    return [f"- {fact}" for fact in sorted(first - second)] + [
        f"+ {fact}" for fact in sorted(second - first)
    ]


def _facts(template: Mapping[str, Any], place: str) -> Iterator[str]:
    plain = _Plain(template["resources"])
    for name, parameter in template.get("parameters", {}).items():
        told = {key: value for key, value in parameter.items() if key != "metadata"}
        yield from plain.facts(told, f"{place}parameter {name}")
    yield from plain.facts(template.get("variables", {}), f"{place}variable")
    yield from plain.facts(template.get("outputs", {}), f"{place}output")
    for resource in plain.resources:
        if resource["type"] == _DEPLOYMENT:
            # Which version of this type a compiler writes changes with the compiler.
            head = f"{place}module {plain.text(resource['name'])}"
            given = resource["properties"].get("parameters", {})
            yield from plain.facts(given, f"{head} given")
            yield from _facts(resource["properties"]["template"], f"{head} > ")
            own = _OWN_WAYS | {"properties"}
        else:
            version = resource["apiVersion"]
            head = f"{place}{resource['type']}@{version} {plain.text(resource['name'])}"
            own = _OWN_WAYS
        yield from plain.facts({k: v for k, v in resource.items() if k not in own}, head)
        if "scope" in resource:
            yield f"{head} scope {_scope(resource['scope'])}"


class _Plain:
    """Values of one template in the form that both ways of writing it share.

    With symbolic names ``reference('app')`` is what is ``reference(resourceId(...), '<version>')``
    without: the first becomes the second, less the version.
    """

    def __init__(self, resources: Any) -> None:
        named = resources if isinstance(resources, dict) else {}
        self.resources: list[Mapping[str, Any]] = [
            resource
            for resource in (named.values() if named else resources)
            if not resource.get("existing")
        ]
        self._ids = {name: _id(resource) for name, resource in named.items()}

    def facts(self, value: Any, path: str) -> Iterator[str]:
        """Yield the path of every leaf with what is there."""
        match value:
            case dict() if value:
                for key, part in value.items():
                    yield from self.facts(part, f"{path}.{self.text(key)}")
            case list() if value:
                for place, part in enumerate(value):
                    yield from self.facts(part, f"{path}[{place}]")
            case str():
                yield f"{path} = {self.text(value)}"
            case _:
                yield f"{path} = {json.dumps(value)}"

    def text(self, value: str) -> str:
        """Return a literal as it is, and an expression without spaces, symbols and versions."""
        if not _is_expression(value):
            return json.dumps(value)
        code = _spaceless(value)
        code = re.sub(r"reference\('([^']+)'\)", self._reference, code)
        return re.sub(r"(reference\(.*?),'\d{4}-\d\d-\d\d(?:-preview)?'(?=\))", r"\1", code)

    def _reference(self, found: re.Match[str]) -> str:
        return f"reference({self._ids.get(found[1], found[1])})"


def _is_expression(value: str) -> bool:
    return value.startswith("[") and not value.startswith("[[")


def _id(resource: Mapping[str, Any]) -> str:
    name = resource["name"]
    code = _spaceless(name)[1:-1] if _is_expression(name) else f"'{name}'"
    code = re.sub(r"^format\('\{0\}(?:/\{\d+\})+',(.*)\)$", r"\1", code)  # of a child: its segments
    return f"resourceId('{resource['type']}',{code})"


def _scope(text: str) -> str:
    """Return a resource's id alike for both ways of writing it: `resourceId` and `format`."""
    return re.sub(r"/\{\d+\}|^\[(format|resourceId)", "", _spaceless(text))


def _spaceless(code: str) -> str:
    """Return an expression without the spaces between its parts; texts keep theirs."""
    return "".join(
        part if part.startswith("'") else re.sub(r"\s+", "", part)
        for part in re.split(r"('(?:[^']|'')*')", code)
    )


def main(one: str, other: str) -> int:
    """Print the differences of two template files and return how many there are."""
    found = differences(*(json.loads(Path(path).read_text("utf-8")) for path in (one, other)))
    for line in found:
        sys.stdout.write(f"{line}\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
