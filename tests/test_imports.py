"""What may be imported when: each import happens in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import napari_samsp

COMMANDS = ("convert", "evaluate", "export", "measure", "models", "predict", "train")
GUI = {"napari", "qtpy", "magicgui", "superqt", "PyQt6"}
HEAVY = {"torch", "torchvision", "peft", "segment_anything", "accelerate"}


def modules_after(code: str, folder: Path) -> set[str]:
    """The top-level modules that are loaded after running code in a new process."""
    code += "\nimport json, sys\n"
    code += "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_under_test_is_the_installed_one() -> None:
    installed = distribution("napari-samsp")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        pytest.skip("napari-samsp is installed in editable mode")
    place = Path(str(installed.locate_file("napari_samsp/__init__.py")))
    assert Path(napari_samsp.__file__).resolve() == place.resolve()
    assert Path(__file__).resolve().parents[1] not in place.parents[1:2]


def test_the_wheel_is_complete() -> None:
    folder = Path(napari_samsp.__file__).parent
    for name in ("py.typed", "napari.yaml", "weights/samsp_small.safetensors"):
        assert (folder / name).is_file(), name
    assert any((folder / "samples").iterdir())


def test_the_package_alone_is_light(tmp_path: Path) -> None:
    loaded = modules_after("import napari_samsp", tmp_path)
    assert not loaded & (HEAVY | GUI | {"numpy"})


def test_version() -> None:
    assert napari_samsp.__version__ == distribution("napari-samsp").version


def test_public_names_are_resolved_when_asked_for(tmp_path: Path) -> None:
    assert {"Iteration", "Segmenter", "__version__", "load_sam"} <= set(
        dir(napari_samsp)
    )
    loaded = modules_after("from napari_samsp import Segmenter, load_sam", tmp_path)
    assert "torch" in loaded
    assert not loaded & GUI


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="Segmentor"):
        _ = napari_samsp.Segmentor


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_and_has_examples(command: str, tmp_path: Path) -> None:
    code = f"""
import io, runpy, sys
from contextlib import redirect_stdout
sys.argv = ["x", "--help"]
with redirect_stdout(io.StringIO()) as said:
    try:
        runpy.run_module("napari_samsp.{command}", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
assert "examples:" in said.getvalue()
assert "python -m napari_samsp.{command}" in said.getvalue()
"""
    assert not modules_after(code, tmp_path) & (HEAVY | GUI)


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_usage_is_one_sentence_and_code_2(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"napari_samsp.{command}", "--no-such-option"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_the_trainer_knows_no_gui(tmp_path: Path) -> None:
    loaded = modules_after("import napari_samsp.train.loop", tmp_path)
    assert "torch" in loaded
    assert not loaded & GUI


def test_discovery_and_events_import_no_torch(tmp_path: Path) -> None:
    code = """
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
assert "napari-samsp" in {m.name for m in manager.iter_manifests()}
import sys
assert not [m for m in sys.modules if m.startswith("napari_samsp")]
import napari_samsp.train.events, napari_samsp.train.config
"""
    assert not modules_after(code, tmp_path) & HEAVY
