"""Check what an sdist and a wheel hold: ``python scripts/check_build.py DIST``."""

from __future__ import annotations

import os
import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 30e6
IN_SDIST = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "docs/index.md",
    "mkdocs.yml",
    "napari.yaml",
    "pyproject.toml",
    "scripts/pypi_metadata.py",
    "scripts/test.sh",
    "tests/conftest.py",
    "tox.ini",
    "training/pretrain.py",
)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
QT_BINDINGS = ("pyqt5", "pyqt6", "pyside2", "pyside6")


def files(*folders: str) -> set[str]:
    """The project's own files below some folders."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def check_sdist(path: Path) -> list[str]:
    """What is wrong with an sdist."""
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = files("napari_samsp", "tests", "training") | set(IN_SDIST)
    return [f"{path.name} lacks {name}" for name in sorted(wanted - held)]


def check_wheel(path: Path) -> list[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(path) as archive:
        held = {n for n in archive.namelist() if not n.endswith("/")}
        (info,) = {n.partition("/")[0] for n in held if ".dist-info/" in n}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    wanted = files("napari_samsp")
    package = {name for name in held if not name.startswith(f"{info}/")}
    faults = [f"{path.name} lacks {name}" for name in sorted(wanted - package)]
    faults += [f"{path.name} holds {name}" for name in sorted(package - wanted)]
    if "napari-samsp = napari_samsp:napari.yaml" not in entry_points:
        faults.append(f"{path.name} does not tell napari of its manifest")
    if not any("licenses/LICENSE" in name for name in held):
        faults.append(f"{path.name} lacks its licence")
    for requirement in metadata.get_all("Requires-Dist", []):
        if requirement.lower().startswith(QT_BINDINGS):
            faults.append(f"{path.name} requires {requirement}, but Qt is a choice")
    for found in LINK.finditer(str(metadata.get_payload())):
        link = found[1] or found[2]
        if not link.startswith(("https:", "#")):
            faults.append(f"{path.name} has a README whose link {link} leads nowhere")
    if os.environ.get("GITHUB_REPOSITORY") and not metadata.get_all("Project-URL"):
        faults.append(f"{path.name} does not tell where the project lives")
    if path.stat().st_size > MOST_BYTES:
        faults.append(f"{path.name} is larger than {MOST_BYTES / 1e6:.0f} MB")
    return faults


def main(folder: Path) -> int:
    """Check the one sdist and the one wheel of a folder."""
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    faults = check_sdist(sdist) + check_wheel(wheel)
    print("\n".join(faults) or f"{sdist.name} and {wheel.name} are complete")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
