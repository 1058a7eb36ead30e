"""What an adapter with classes finds is shown in the classes' colours."""

from __future__ import annotations

import numpy as np

from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.result_layers import RESULT_KEY

CLASSES = (LabelClass(3, "leaf", "#00ff00"), LabelClass(8, "spot", "#ff0000"))


def test_results_have_the_labels_and_colours_of_the_classes(
    widget, viewer, segment, nuclei, tmp_path
):
    loaded = load_sam("samsp_small")
    model = add_lora(loaded.sam, 2, loaded.name, classes=2)
    card = AdapterCard(loaded.name, loaded.sha256, 256, classes=CLASSES)
    save_adapter(model, tmp_path / "plants", card)
    viewer.add_image(nuclei[0], name="plant")
    widget.segmenting.adapter.choose(tmp_path / "plants")
    segment()
    layer = viewer.layers["SAM-SP 2 · plant"]
    assert set(np.unique(layer.data)) <= {0, 3, 8}
    told = layer.metadata[RESULT_KEY]["classes"]
    assert [one["name"] for one in told] == ["leaf", "spot"]
    colors = layer.colormap.map(np.array([3, 8]))
    np.testing.assert_allclose(colors, [[0, 1, 0, 1], [1, 0, 0, 1]], atol=0.01)
    assert layer.features["class"].tolist() == ["leaf", "spot"]
    # They can be corrected and kept at once.
    assert widget.correcting.class_list.classes == CLASSES
