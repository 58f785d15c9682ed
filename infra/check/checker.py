"""What is wrong with a Bicep file, as far as it can be known without the compiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.check.azure import Types
from infra.check.syntax import (
    Array,
    Call,
    Declaration,
    Expression,
    File,
    Literal,
    Member,
    Name,
    Object,
    SyntaxFault,
    read,
    walk,
)

# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
_FUNCTIONS = frozenset(
    {"any", "empty", "environment", "format", "guid", "loadTextContent", "replace"}
    | {"resourceGroup", "resourceId", "string", "subscription", "subscriptionResourceId"}
    | {"tenant", "toLower", "union", "uniqueString"}
)
_DEFAULT_ONLY = frozenset({"newGuid", "utcNow"})
_DECORATORS = frozenset(
    {"allowed", "description", "maxLength", "maxValue", "metadata", "minLength", "minValue"}
    | {"onlyIfNotExists", "secure"}
)
_PLAIN = {"string": str, "int": int, "bool": bool, "object": Object, "array": Array}


@dataclass(frozen=True, order=True)
class Fault:
    """Something wrong, and where."""

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.sentence}"


def check(path: Path, types: Types) -> list[Fault]:
    """Return everything that is wrong with the file, by line."""
    try:
        file = read(path)
    except SyntaxFault as fault:
        return [Fault(path.name, 0, str(fault))]
    found = [*_names(file), *_values(file), *_modules(file)]
    variables = {item.name: item.value for item in file.all("var") if item.value is not None}
    for item in file.all("resource"):
        if not item.existing:
            found += types.faults(item.type, item.body, variables)
    return sorted({Fault(path.name, line, sentence) for line, sentence in found})


def _expressions(item: Declaration) -> Iterator[Expression]:
    for root in (item.value, item.condition):
        if root is not None:
            yield from walk(root)


def _names(file: File) -> Iterator[tuple[int, str]]:
    """Check that names are declared once, known and used."""
    counted = Counter(item.name for item in file.declarations if item.kind != "output")
    used = {
        part.id
        for item in file.declarations
        for part in _expressions(item)
        if isinstance(part, Name)
    }
    for item in file.declarations:
        if item.kind != "output" and counted[item.name] > 1:
            yield item.line, f"{item.name} is declared twice"
        if item.kind in {"param", "var"} and item.name not in used:
            yield item.line, f"{item.name} is not used"
        for part in _expressions(item):
            if isinstance(part, Name) and part.id not in counted:
                yield part.line, f"{part.id} is not declared"


def _values(file: File) -> Iterator[tuple[int, str]]:
    """Check functions, decorators, defaults, and that outputs carry no secret."""
    secrets = {item.name for item in file.all("param") if item.decorator("secure")}
    for item in file.declarations:
        known = _FUNCTIONS | (_DEFAULT_ONLY if item.kind == "param" else frozenset())
        for part in _expressions(item):
            if isinstance(part, Call) and part.function not in known:
                yield part.line, f"{part.function}() is not known"
            if item.kind == "output" and (
                (isinstance(part, Name) and part.id in secrets)
                or (isinstance(part, Call) and part.function.startswith("list"))
            ):
                yield part.line, f"the output {item.name} carries a secret"
        for call in item.decorators:
            if call.function not in _DECORATORS:
                yield call.line, f"@{call.function}() is not known"
        if item.kind in {"param", "output"} and item.type not in _PLAIN:
            yield item.line, f"{item.name}: {item.type} is not a type"
        if item.kind == "param":
            yield from _default(item, item.name in secrets)


def _default(item: Declaration, secret: bool) -> Iterator[tuple[int, str]]:
    match item.value:
        case None:
            return
        case Literal(value) if type(value) is not _PLAIN.get(item.type):
            yield item.line, f"{item.name}: the default is not of type {item.type}"
        case Literal(str(value)) if secret and value:
            yield item.line, f"{item.name}: a secret has a default"
    allowed = item.decorator("allowed")
    if allowed and isinstance(item.value, Literal):
        choices = allowed.arguments[0]
        if isinstance(choices, Array) and item.value not in choices.items:
            yield item.line, f"{item.name}: the default is not allowed"


def _modules(file: File) -> Iterator[tuple[int, str]]:
    """Check that modules get their parameters and give what is asked of them."""
    outputs: dict[str, set[str]] = {}
    for item in file.all("module"):
        path = file.path.parent / item.type
        if not path.exists():
            yield item.line, f"there is no file {item.type}"
            continue
        module = read(path)
        outputs[item.name] = {output.name for output in module.all("output")}
        params = item.body.get("params")
        given = (
            {str(key.value) for key, _ in params.properties if isinstance(key, Literal)}
            if isinstance(params, Object)
            else set()
        )
        known = {param.name: param for param in module.all("param")}
        for name in sorted(given - set(known)):
            yield item.line, f"{item.type} has no parameter {name}"
        for name, param in known.items():
            if param.value is None and name not in given:
                yield item.line, f"{item.type} needs the parameter {name}"
    for item in file.declarations:
        for part in _expressions(item):
            match part:
                case Member(Member(Name(module_name), "outputs"), output) if (
                    module_name in outputs and output not in outputs[module_name]
                ):
                    yield part.line, f"{module_name} has no output {output}"
