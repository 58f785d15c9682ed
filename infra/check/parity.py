"""How two ARM templates differ: ``python -m infra.check.parity COMPILED KEPT``.

The release workflow compares what the real compiler makes of ``resources.bicep`` with the
template that is kept in the repository. How a compiler orders, refers and nests is its own
affair; what is deployed has to be the same.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DEPLOYMENT = "Microsoft.Resources/deployments"
_CALL = re.compile(r"createObject\(|createArray\(")


def outline(template: Mapping[str, Any]) -> frozenset[str]:
    """Return what the template deploys, a line for each fact.

    A fact is a parameter with its type and limits, an output, or a resource's type, version and
    name with the path of a property it sets.
    """
    return frozenset(_facts(template, ""))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the facts that only one of the templates has: ``-`` the first, ``+`` the second."""
    first, second = outline(one), outline(other)
    return [f"- {fact}" for fact in sorted(first - second)] + [
        f"+ {fact}" for fact in sorted(second - first)
    ]


def _facts(template: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, parameter in template.get("parameters", {}).items():
        told = {key: parameter.get(key) for key in sorted(parameter) if key != "metadata"}
        yield f"{place}parameter {name} {json.dumps(told, sort_keys=True)}"
    for name, output in template.get("outputs", {}).items():
        yield f"{place}output {name} {output['type']}"
    for resource in _resources(template):
        head = f"{place}{resource['type']}@{resource['apiVersion']} {_spaceless(resource['name'])}"
        if resource["type"] == _DEPLOYMENT:
            # Which version of this type a compiler writes changes with the compiler.
            head = f"{place}module {_spaceless(resource['name'])}"
            properties = resource["properties"]
            yield from (f"{head} given {name}" for name in properties.get("parameters", {}))
            yield from _facts(properties["template"], f"{head} > ")
        else:
            body = {key: value for key, value in resource.items() if key not in _ELSEWHERE}
            yield from (f"{head} {path}" for path in _paths(body, ""))
        if "scope" in resource:
            yield f"{head} scope {_scope(resource['scope'])}"
        for key in ("condition", "resourceGroup", "subscriptionId", "@options"):
            if key in resource:
                yield f"{head} {key} {_spaceless(resource[key])}"


_ELSEWHERE = {
    "type", "apiVersion", "name", "dependsOn", "condition", "scope", "resourceGroup",
    "subscriptionId", "@options",
}  # fmt: skip


def _resources(template: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the resources of either form of template, less those that exist already."""
    resources = template["resources"]
    found = resources.values() if isinstance(resources, dict) else resources
    return [resource for resource in found if not resource.get("existing")]


def _paths(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of all leaves, with literal leaves as they are."""
    match value:
        case dict() if value:
            for key, part in value.items():
                yield from _paths(part, f"{path}.{_spaceless(key)}")
        case list() if value:
            for part in value:
                yield from _paths(part, f"{path}[]")
        case str() if value.startswith("[") and not value.startswith("[["):
            # The names within a computed object, since its values are expressions.
            names = (
                sorted(set(re.findall(r"'([A-Za-z_]+)',", value))) if _CALL.search(value) else []
            )
            yield f"{path} = [{','.join(names)}]"
        case _:
            yield f"{path} = {json.dumps(value)}"


def _scope(text: str) -> str:
    """Return a resource's id alike for both ways of writing it: `resourceId` and `format`."""
    return re.sub(r"/\{\d+\}|^\[(format|resourceId)", "", _spaceless(text))


def _spaceless(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return re.sub(r"\s+", "", text)


def main(one: str, other: str) -> int:
    """Print the differences of two template files and return how many there are."""
    found = differences(*(json.loads(Path(path).read_text("utf-8")) for path in (one, other)))
    for line in found:
        sys.stdout.write(f"{line}\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
