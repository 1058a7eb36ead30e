"""Files are segmented alike by this process, by several, and by a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.batch import workers
from napari_samsp.batch.job import Job, Outcome, Settings
from napari_samsp.batch.segment_file import segment_file
from napari_samsp.data import image_source as stored_image
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.predict import main as predict
from napari_samsp.utils.errors import InputError

QUICK = Settings("samsp_small", iterations=2, objects=True, tile="off", input_size=128)


@pytest.fixture
def images(tmp_path, nuclei):
    """A time series with a blank frame, in two channels; one image; a broken file."""
    image = nuclei[0]
    frames = np.stack([image, np.zeros_like(image), np.roll(image, 9, 1)])
    series = np.stack([255 - frames, frames], 1)
    tifffile.imwrite(
        tmp_path / "series.tif", series, ome=True,
        metadata={"axes": "TCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"},
    )  # fmt: skip
    tifffile.imwrite(tmp_path / "one.tif", image)
    (tmp_path / "broken.tif").write_bytes(b"II*\0broken")
    return tmp_path


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(input_size=128)


def labels_of(segmenter, image):
    return segmenter.segment(image, 2, objects=True, tile="off")[-1].labels


@pytest.mark.parametrize("large", [False, True])
def test_every_plane_of_a_stack_is_segmented(
    images, nuclei, segmenter, monkeypatch, large
):
    if large:
        monkeypatch.setattr(stored_image, "LARGE_PIXELS", nuclei[0].size)
    done = []
    settings = replace(QUICK, channels=(1,), limits="slice")
    job = Job(images / "series.tif", images / "out" / "series")
    outcome = segment_file(job, settings, done.append)
    assert not outcome.error
    assert outcome.files == (images / "out" / "series.tif",)
    assert list((images / "out").iterdir()) == [images / "out" / "series.tif"]
    with stored_image.open_image(outcome.files[0]) as written:
        labels = np.asarray(written.array)
        assert written.axes == "TYX"
        assert written.voxels.scale == {"X": 0.5}
    assert np.array_equal(labels[0], labels_of(segmenter, nuclei[0]))
    assert not labels[1].any()
    assert np.array_equal(labels[2], labels_of(segmenter, np.roll(nuclei[0], 9, 1)))
    assert done == sorted(done)
    assert done[-1] == 1


@pytest.mark.parametrize("kind", ["auto", "tif", "ome-zarr"])
def test_an_image_too_large_for_the_memory(
    images, nuclei, segmenter, monkeypatch, kind
):
    monkeypatch.setattr(stored_image, "LARGE_PIXELS", 1000)
    settings = replace(QUICK, output_format=kind)
    outcome = segment_file(Job(images / "one.tif", images / "out" / "one"), settings)
    ending = "ome.zarr" if kind == "ome-zarr" else "tif"
    assert outcome.files == (images / "out" / f"one.{ending}",)
    with stored_image.open_image(outcome.files[0]) as written:
        labels = np.asarray(written.array)
    assert np.array_equal(labels, labels_of(segmenter, nuclei[0]))


def test_every_iteration_of_large_planes(images, nuclei, segmenter, monkeypatch):
    """One of which is blank."""
    picture = nuclei[0]
    stack = np.stack([picture, np.zeros_like(picture), np.roll(picture, 9, 1)])
    tifffile.imwrite(images / "large.tif", stack, metadata={"axes": "TYX"}, ome=True)
    monkeypatch.setattr(stored_image, "LARGE_PIXELS", 1000)
    settings = replace(QUICK, iterations=2, all_iterations=True, limits="slice")
    job = Job(images / "large.tif", images / "out" / "large")
    outcome = segment_file(job, settings)
    names = ["large.tif", "large.iter0.tif", "large.iter1.tif"]
    assert [path.name for path in outcome.files] == names
    last, *each = (tifffile.imread(path) for path in outcome.files)
    assert np.array_equal(last, each[1])
    for n in (0, 2):
        expected = segmenter.segment(stack[n], 2, objects=True, tile="off")
        for step, labels in zip(expected, each, strict=True):
            assert np.array_equal(labels[n], step.labels)
    assert not last[1].any()
    assert sorted(p.name for p in (images / "out").iterdir()) == sorted(names)


def check(outcomes, images, nuclei, segmenter):
    """Of the plain image and the broken one."""
    found = {outcome.job.labels.name: outcome for outcome in outcomes}
    assert found.keys() == {"one", "broken"}
    labels = tifffile.imread(images / "out" / "one.tif")
    assert np.mean(labels != labels_of(segmenter, nuclei[0])) < 1e-3
    assert str(images / "broken.tif") in found["broken"].error
    assert sorted(p.name for p in (images / "out").iterdir()) == ["one.tif"]


@given(st.integers(0, 40), st.integers(1, 4), st.sets(st.integers(0, 39)))
def test_no_job_is_left_out(count, threads, broken):
    """However many there are for each worker, and whichever fail."""

    def work(job):
        return Outcome(job, (), 0.0, "broken" * (int(job.image.name) in broken))

    jobs = [Job(Path(str(n)), Path("out", str(n))) for n in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(workers._as_ready(pool, work, jobs, workers.AHEAD * threads))
    assert Counter(outcome.job for outcome in outcomes) == Counter(jobs)
    failed = {int(one.job.image.name) for one in outcomes if one.error}
    assert failed == broken & set(range(count))


@pytest.fixture
def jobs(images):
    return [Job(images / f"{n}.tif", images / "out" / n) for n in ("one", "broken")]


@pytest.mark.slow
def test_several_processes(images, nuclei, segmenter, jobs, monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    check(workers.in_processes(jobs, QUICK, 2), images, nuclei, segmenter)
    with pytest.raises(InputError, match="from 1 to 2"):
        next(workers.in_processes(jobs, QUICK, 3))


@pytest.mark.slow
def test_more_files_than_are_handed_out_at_once(images, monkeypatch):
    monkeypatch.setattr(workers, "AHEAD", 1)
    jobs = [Job(images / "one.tif", images / "out" / f"{n}") for n in range(4)]
    found = [outcome.job for outcome in workers.in_processes(jobs, QUICK, 1)]
    assert found == jobs


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster(images, nuclei, segmenter, jobs):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        check(workers.on_cluster(jobs, QUICK, address), images, nuclei, segmenter)
        bad = Settings("samsp_small", device="tpu9")
        with pytest.raises(InputError, match="no device"):
            list(workers.on_cluster(jobs[:1], bad, address))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_that_goes_away_in_the_middle(tmp_path, nuclei, capfd):
    """A sentence, and what is done stays done."""
    distributed = pytest.importorskip("distributed")
    (tmp_path / "in").mkdir()
    for n in range(12):
        tifffile.imwrite(tmp_path / "in" / f"{n:02}.tif", nuclei[0])
    out = tmp_path / "out"
    command = [
        str(tmp_path / "in"), "--output", str(out), "--iterations", "1",
        "--input-size", "128",
    ]  # fmt: skip
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    )

    def close_in_the_middle():
        while not (out / "manifest.jsonl").exists():
            time.sleep(0.01)
        cluster.close()

    soon = {"distributed.comm.timeouts.connect": "3s"}
    with dask.config.set(soon), cluster, ThreadPoolExecutor(1) as pool:
        closing = pool.submit(close_in_the_middle)
        with pytest.raises(InputError, match=r"cluster at tcp://.* went away.*stays"):
            predict([*command, "--scheduler", cluster.scheduler_address])
        closing.result()
    assert "Traceback" not in capfd.readouterr().err
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert 1 <= len(lines) < 12
    predict(command)
    assert len(list(out.glob("*.tif"))) == 12


def test_no_cluster(jobs, monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="No scheduler answers at tcp://127"):
        next(workers.on_cluster(jobs, QUICK, "tcp://127.0.0.1:9"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_command_that_is_killed_leaves_no_worker(tmp_path, nuclei):
    (tmp_path / "in").mkdir()
    for n in range(8):
        large = np.tile(nuclei[0], (8, 5))
        tifffile.imwrite(tmp_path / "in" / f"{n}.tif", large)
    command = [sys.executable, "-m", "napari_samsp.predict", str(tmp_path / "in")]
    command += ["--output", str(tmp_path / "out"), "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        parent, found = psutil.Process(process.pid), []
        deadline = time.monotonic() + 60
        while len(found) < 2 and time.monotonic() < deadline:
            found = [
                child
                for child in parent.children()
                if "spawn_main" in " ".join(child.cmdline())
            ]
            time.sleep(0.1)
        assert len(found) == 2
        time.sleep(1)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(found, timeout=30)
    assert not alive
