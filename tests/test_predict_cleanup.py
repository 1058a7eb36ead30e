"""``predict`` with a threshold, a least size, filled holes and linked slices."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from skimage import io

from napari_samsp.batch.fingerprint import fingerprint
from napari_samsp.batch.job import Settings
from napari_samsp.inference.cleanup import Cleanup
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.predict import main
from napari_samsp.utils.errors import InputError


def test_the_command_cleans_up_as_the_segmenter_does(tmp_path, nuclei, capsys):
    image, _ = nuclei
    io.imsave(tmp_path / "a.png", image)
    command = [str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--objects"]
    command += ["--iterations", "2", "--all-iterations"]
    main(command)
    plain = tifffile.imread(tmp_path / "out" / "a.tif")
    areas = np.bincount(plain.ravel())[1:]
    least = int(np.sort(areas)[2]) + 1
    cleanup = Cleanup(0.8, least, True)
    more = ["--threshold", "0.8", "--min-size", str(least), "--fill-holes"]
    main([*command, *more])
    expected = Segmenter().segment(image, 2, objects=True, cleanup=cleanup)
    for t, one in enumerate(expected):
        written = tifffile.imread(tmp_path / "out" / f"a.iter{t}.tif")
        assert np.array_equal(written, one.labels)
    assert 0 < len(np.unique(written)) < len(np.unique(plain))
    capsys.readouterr()
    main([*command, *more])
    assert "1 of 1 images were done before" in capsys.readouterr().err


def test_what_was_done_before_there_was_a_cleanup_still_counts_as_done():
    said = fingerprint(Settings("samsp_small"), "hash")
    assert not {"cleanup", "link_slices"} & set(said)
    settings = Settings("samsp_small", cleanup=Cleanup(min_size=9), link_slices=True)
    assert fingerprint(settings, "hash")["cleanup"]["min_size"] == 9


def test_linked_slices_give_an_object_one_number(tmp_path, nuclei):
    image, truth = nuclei
    blank = np.random.default_rng(1).normal(30, 8, image.shape)
    stack = np.stack([image, np.roll(image, 2, 1), blank.clip(0, 255), image])
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, stack.astype(np.uint8), photometric="minisblack", metadata={"axes": "ZYX"}
    )
    main([
        str(path), "--output", str(tmp_path / "out"), "--objects", "--iterations", "2",
        "--link-slices",
    ])  # fmt: skip
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    for number in range(1, 7):
        inside = truth == number
        found = {
            int(np.bincount(labels[n][part]).argmax())
            for n, part in ((0, inside), (1, np.roll(inside, 2, 1)), (3, inside))
        }
        assert len(found) == 1 and found != {0}


@pytest.mark.parametrize(
    "options",
    [["--threshold", "0"], ["--threshold", "1.5"], ["--min-size", "-3"],
     ["--link-slices"]],
)  # fmt: skip
def test_options_that_make_no_sense(tmp_path, nuclei, options):
    io.imsave(tmp_path / "a.png", nuclei[0])
    with pytest.raises(InputError):
        main([str(tmp_path), "--output", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()
