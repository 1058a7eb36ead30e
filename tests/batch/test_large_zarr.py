"""Labels of a large OME-Zarr are filled where they are stored, and shown when whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import zarr

from napari_samsp import Segmenter, predict
from napari_samsp.batch.job import Job, Settings
from napari_samsp.batch.segment_file import segment_file
from napari_samsp.data import image_source
from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.utils.errors import InputError

KILLED = """
import os, sys
from pathlib import Path
from napari_samsp.batch.job import Job, Settings
from napari_samsp.batch.segment_file import segment_file
from napari_samsp.data import image_source

def progress(part):
    if part > 0.7:
        os._exit(9)  # as a kill, without any cleaning up

image_source.LARGE_PIXELS = 1000
job = Job(Path("z.ome.zarr"), Path("out/z"))
segment_file(job, Settings("samsp_small", iterations=2, tile=128), progress)
"""


@pytest.fixture
def image(tmp_path, nuclei, monkeypatch) -> np.ndarray:
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 1000)
    monkeypatch.chdir(tmp_path)
    pixels = np.tile(nuclei[0], (3, 2))
    group = zarr.open_group("z.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=pixels, chunks=(64, 64))
    group.attrs["multiscales"] = [
        {"axes": [{"name": n} for n in "yx"], "datasets": [{"path": "0"}]}
    ]
    return pixels


def run(*options: str) -> int:
    command = ["z.ome.zarr", "--output", "out", "--iterations", "2", "--tile", "128"]
    return predict.main([*command, *options])


def level(name: str) -> np.ndarray:
    return zarr.open_array(f"out/{name}/0", mode="r")[:]


def test_every_iteration_is_where_its_name_says(image, tmp_path):
    seen: set[str] = set()

    def progress(part: float) -> None:
        seen.update(path.name for path in (tmp_path / "out").iterdir())

    first, last = Segmenter().segment(image, 2, True, tile=128)
    settings = Settings(
        "samsp_small", iterations=2, tile=128, objects=True, all_iterations=True
    )
    job = Job(tmp_path / "z.ome.zarr", tmp_path / "out" / "z")
    outcome = segment_file(job, settings, progress)
    assert not outcome.error
    assert np.array_equal(level("z.iter0.ome.zarr"), first.labels)
    assert np.array_equal(level("z.iter1.ome.zarr"), last.labels)
    assert np.array_equal(level("z.ome.zarr"), last.labels)
    # No third array was written on the way, and none could be taken for a result.
    assert sorted(name[: -len("123456789012.samsp-part")] for name in seen) == [
        ".z.iter0.ome.zarr.",
        ".z.ome.zarr.",
    ]


def test_a_killed_run_leaves_nothing_that_looks_finished(image, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=300)
    assert done.returncode == 9
    (left,) = (tmp_path / "out").iterdir()
    assert left.name.startswith(".z.ome.zarr.")
    begun = zarr.open_array(str(left / "0"), mode="r")[:]
    assert begun.any(), "it was killed too early to tell"
    with pytest.raises(InputError, match="holds no image"):
        find_images(["out"])
    assert run() == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.jsonl",
        "z.ome.zarr",
    ]
    (*_, last) = Segmenter().segment(image, 2, tile=128)
    assert np.array_equal(level("z.ome.zarr"), last.labels)


def test_what_was_there_stays_until_the_new_one_is_whole(image, tmp_path):
    assert run() == 0
    before = level("z.ome.zarr")

    def progress(part: float) -> None:
        if part > 0.7:
            raise KeyboardInterrupt

    job = Job(tmp_path / "z.ome.zarr", tmp_path / "out" / "z")
    with pytest.raises(KeyboardInterrupt):
        segment_file(job, Settings("samsp_small", tile=96), progress)
    assert np.array_equal(level("z.ome.zarr"), before)
    assert len(list((tmp_path / "out").iterdir())) == 2
