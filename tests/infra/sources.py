"""The files under test, and what is read from them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from infra.check.azure import Types
from infra.check.syntax import Call, Declaration, Expression, Literal, Object, Template, read, walk

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
DOCS = ROOT / "docs"
TYPES = Types(Path(__file__).parent / "types")
SCHEMAS = Path(__file__).parent / "schemas"
BICEP = sorted(INFRA.glob("*.bicep"))


def kept_files() -> list[Path]:
    """Return what git tracks; without a clone, all but what `.gitignore` names."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        found = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:
        patterns = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
        found = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if not any(
                fnmatch(part, pattern)
                for part in path.relative_to(ROOT).parts
                for pattern in patterns
            )
        ]
    return sorted(path for path in found if (ROOT / path).is_file())


def read_json(path: Path) -> Any:
    """Return a JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


def resources(file: str, type_: str) -> list[Declaration]:
    """Return the resources of a type that a Bicep file makes."""
    found = read(INFRA / file).all("resource")
    return [r for r in found if r.type.startswith(f"{type_}@") and not r.existing]


def resource(file: str, type_: str, name: str | None = None) -> Object:
    """Return the body of the one such resource, or the one with that literal name."""
    found = [r.body for r in resources(file, type_)]
    if name is not None:
        found = [body for body in found if body["name"] == Literal(name, line=0)]
    (body,) = found
    return body


def at(body: Object, path: str) -> Expression:
    """Return the value at a dotted path."""
    value: Expression = body
    for key in path.split("."):
        assert isinstance(value, Object), path
        value = value[key]
    return value


def plain(value: Expression) -> Any:
    """Return a literal value, an array of such, or an expression as it is."""
    match value:
        case Literal(content):
            return content
        case Object(properties):
            return {plain(key): plain(part) for key, part in properties}
        case _:
            items = getattr(value, "items", None)
            return [plain(item) for item in items] if isinstance(items, tuple) else value


def app_settings() -> dict[str, Expression]:
    """Return the settings that the function app is given, those on a condition included."""
    settings = resource("app.bicep", "Microsoft.Web/sites/config", "appsettings")["properties"]
    assert isinstance(settings, Call)
    objects = [part for part in walk(settings) if isinstance(part, Object)]
    return {str(plain(key)): value for part in objects for key, value in part.properties}


def texts(file: Path) -> Iterator[str]:
    """Yield every string of a Bicep or JSON file."""
    if file.suffix == ".bicep":
        for item in read(file).declarations:
            for root in (item.value, item.condition):
                for part in walk(root) if root else ():
                    match part:
                        case Literal(str(text)):
                            yield text
                        case Template(parts):
                            yield "".join(p if isinstance(p, str) else "{}" for p in parts)
    else:
        yield from _strings(read_json(file))


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for part in value.values():
                yield from _strings(part)
        case list():
            for part in value:
                yield from _strings(part)


def queries() -> list[str]:
    """Return the log queries of alerts and workbook."""
    found = [*texts(INFRA / "alerts.bicep"), *texts(INFRA / "workbook.json")]
    return [text for text in found if re.search(r"\b(traces|dependencies|requests)\b\s*\|?", text)
            and "|" in text]  # fmt: skip
