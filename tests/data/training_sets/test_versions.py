"""What replaced a sample can be undone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.data.training_sets.versions import bring_back, version_of
from napari_samsp.utils.errors import InputError


def content(training_set: TrainingSet) -> dict[str, bytes]:
    return {
        f"{kind}": path.read_bytes()
        for sample in training_set.samples()
        for kind, path in sample.files.items()
    }


@pytest.mark.parametrize("other_image", [False, True])
def test_a_replaced_sample_comes_back_byte_by_byte(tmp_path, nuclei, other_image):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path)
    training_set.add(image, labels, name="a", slice=[3, None, None])
    before, info = content(training_set), training_set.sample("a").info
    version = version_of(training_set, "a")
    newer = training_set.add(
        image[::-1] if other_image else image, labels * 2, labels, name="a",
        replace=True,
    )  # fmt: skip
    assert content(training_set) != before
    version = version.beside(newer)
    assert ("images/a.tif" in version.files) == other_image
    back = bring_back(training_set, version)
    assert content(training_set) == before
    assert back.info == info and back.prediction is None
    # The prediction that it did not have is not lost.
    assert (tmp_path / "removed" / "predictions" / "a.tif").is_file()


def test_a_mask_made_by_hand_comes_back_with_its_own_ending(tmp_path, nuclei):
    from skimage import io

    image, labels = nuclei
    training_set = TrainingSet(tmp_path)
    training_set.add(image, labels, name="a")
    (tmp_path / "masks" / "a.tif").unlink()
    small = labels.astype(np.uint8)
    io.imsave(tmp_path / "masks" / "a.png", small, check_contrast=False)
    version = version_of(training_set, "a")
    newer = training_set.add(image, labels * 3, name="a", replace=True)
    back = bring_back(training_set, version.beside(newer))
    assert back.mask.name == "a.png"
    assert np.array_equal(back.read()[1], labels)
    assert not (tmp_path / "masks" / "a.tif").exists()


def test_of_what_is_gone_nothing_is_undone(tmp_path, nuclei):
    training_set = TrainingSet(tmp_path)
    training_set.add(*nuclei, name="a")
    version = version_of(training_set, "a")
    training_set.remove("a")
    with pytest.raises(InputError, match="no correction named a"):
        bring_back(training_set, version)
    assert training_set.samples() == []
