"""The package that a release carries: ``python -m infra.package released-package.zip``.

Holds what git tracks, less what ``.funcignore`` names, as azd deploys it. Azure installs the
requirements when it takes the package in.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).resolve().parents[1]
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""One date for all, so that the same sources make the same package."""


def write(root: Path, target: Path) -> None:
    """Write the package of the sources below *root*."""
    with ZipFile(target, "w", ZIP_DEFLATED) as package:
        for name in files(root):
            entry = ZipInfo(name, _LONG_AGO)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, (root / name).read_bytes())


def files(root: Path) -> Iterator[str]:
    """Yield the names of the files that belong to the package, in order."""
    ignored = (root / ".funcignore").read_text(encoding="utf-8").split()
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the git of whoever releases
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in sorted(filter(None, listed.stdout.decode().split("\0"))):
        parts = PurePosixPath(name).parts
        if not any(fnmatch(part, pattern) for part in parts for pattern in ignored):
            yield name


if __name__ == "__main__":
    write(ROOT, Path(sys.argv[1]))
