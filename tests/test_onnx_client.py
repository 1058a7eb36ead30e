"""The ONNX pair, driven as programs drive segment_anything's: onnxruntime alone.

Written from the interface that segment_anything documents (its notebook
onnx_model_example): the image's longest side is resized to the model's input; points
are x and y there, a box is two points with labels 2 and 3, and a point with label -1
goes along where there is no box; ``orig_im_size`` asks for masks in the image's pixels.
"""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.export import main
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.adapters.class_tokens import add_class_tokens
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt


class Client:
    """A program that knows two ONNX files and the documented interface."""

    def __init__(self, encoder, decoder) -> None:
        self.encoder, self.decoder = map(
            onnxruntime.InferenceSession, (encoder, decoder)
        )
        about = self.encoder.get_modelmeta().custom_metadata_map
        self.mean, self.std = (json.loads(about[f"pixel_{k}"]) for k in ("mean", "std"))
        self.size = self.encoder.get_inputs()[0].shape[-1]
        self.mask_shape = self.decoder.get_inputs()[3].shape[-2:]

    def open(self, image: np.ndarray) -> None:
        """Encode a ``(Y, X, 3)`` uint8 image."""
        self.shape = image.shape[:2]
        scale = self.size / max(self.shape)
        self.inner = tuple(int(side * scale + 0.5) for side in self.shape)
        resized = Image.fromarray(image).resize(
            self.inner[::-1], Image.Resampling.BILINEAR
        )
        normal = (np.asarray(resized, np.float32) - self.mean) / self.std
        padding = [(0, self.size - side) for side in self.inner]
        padded = np.pad(normal, (*padding, (0, 0))).transpose(2, 0, 1)[None]
        (name,) = (given.name for given in self.encoder.get_inputs())
        (self.embedding,) = self.encoder.run(None, {name: padded.astype(np.float32)})

    def ask(self, points, labels, mask=None) -> list[np.ndarray]:
        """Masks, expected IoU and low-res logits for x, y points of the image."""
        places, kinds = np.float32(points), np.float32(labels)
        if 2 not in labels:
            places = np.concatenate([places, np.zeros((1, 2), np.float32)])
            kinds = np.append(kinds, np.float32(-1))
        scale = np.float32(self.inner[::-1]) / np.float32(self.shape[::-1])
        empty = np.zeros((1, 1, *self.mask_shape), np.float32)
        inputs = {
            "image_embeddings": self.embedding,
            "point_coords": (places * scale)[None],
            "point_labels": kinds[None],
            "mask_input": empty if mask is None else mask,
            "has_mask_input": np.float32([mask is not None]),
            "orig_im_size": np.float32(self.shape),
        }
        return self.decoder.run(["masks", "iou_predictions", "low_res_masks"], inputs)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The client's files, and the segmenter that they are of."""
    return make(tmp_path_factory.mktemp("client"))


def make(folder, classes=()):
    loaded = load_sam("samsp_small")
    add_class_tokens(loaded.sam, len(classes))
    model = add_lora(loaded.sam, 2, loaded.name)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn_like(parameter))
    size = loaded.sam.image_encoder.img_size
    card = AdapterCard(loaded.name, loaded.sha256, size, classes=classes)
    save_adapter(model, folder / "a", card)
    main([str(folder / "a"), "--output", str(folder / "cells.onnx")])
    client = Client(folder / "cells.encoder.onnx", folder / "cells.decoder.onnx")
    segmenter = Segmenter(adapter=folder / "a", device="cpu")
    segmenter.scaling = Scaling("none")
    return client, segmenter


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["point", "points", "box", "box and point"])
def test_it_agrees_with_prompt_in_the_images_pixels(made, nuclei, kind, turned):
    client, segmenter = made
    image = np.stack([nuclei[0]] * 3, -1)
    place, other, box = (70, 30), (70, 60), (55, 14, 86, 46)
    if turned:  # higher than wide
        image = np.ascontiguousarray(image.transpose(1, 0, 2))
        place, other, box = place[::-1], other[::-1], (14, 55, 46, 86)
    client.open(image)
    points = {"point": [place], "points": [place, other], "box and point": [place]}
    clicked, labels = points.get(kind, []), [1, 0][: len(points.get(kind, []))]
    boxed = "box" in kind
    asked = [(column, row) for row, column in clicked]
    if boxed:
        asked += [(box[1], box[0]), (box[3], box[2])]
    masks, expected, _ = client.ask(asked, labels + [2, 3] * boxed)
    (step,) = segmenter.prompt(
        image,
        points=[clicked] if clicked else None,
        point_labels=[labels] if clicked else None,
        boxes=[box] if boxed else None,
    )
    assert masks.shape == (1, 1, *image.shape[:2])
    assert np.abs(masks[0, 0] - step.logits).max() < 2e-3
    assert np.array_equal(masks[0, 0] > 0, step.labels > 0)
    assert abs(float(expected[0, 0]) - step.score) < 1e-4


def test_its_masks_end_at_the_border_of_an_image_larger_than_the_input(made, nuclei):
    client, segmenter = made
    image = np.kron(np.stack([nuclei[0]] * 3, -1), np.ones((3, 3, 1), np.uint8))
    client.open(image)
    masks, _, _ = client.ask([(90, 210)], [1])
    (step,) = segmenter.prompt(image, points=[[(210, 90)]])
    assert masks.shape[2:] == image.shape[:2] > (client.size, client.size)
    assert np.abs(masks[0, 0] - step.logits).max() < 2e-3


def test_its_mask_prompts_the_next_call(made, nuclei):
    client, _ = made
    client.open(np.stack([nuclei[0]] * 3, -1))
    _, _, low = client.ask([(30, 70)], [1])
    again, _, _ = client.ask([(30, 70)], [1], low)
    assert again.shape == (1, 1, 96, 160)
    assert again[0, 0, 70, 30] > 0


def test_a_point_with_a_label_of_its_own_asks_for_a_class(tmp_path, nuclei, capsys):
    classes = LabelClass(2, "leaf", "#ff0000"), LabelClass(7, "spot", "#00ff00")
    client, segmenter = make(tmp_path, classes)
    assert "asks for a class: 4 leaf, 5 spot." in capsys.readouterr().out
    image = np.stack([nuclei[0]] * 3, -1)
    client.open(image)
    model = SelfPrompting(segmenter.sam)
    with torch.inference_mode():
        embedding = model.encode(to_model_input(image, client.size)[0][None])
        for k in range(2):
            entry, token = torch.tensor([k]), torch.tensor([k])
            alone = model.decode_entries(embedding, entry, Prompt(classes=token))
            box = torch.tensor([[20.0, 88, 74, 138]])
            boxed = model.decode_entries(embedding, entry, Prompt(boxes=box))
            inputs = {"image_embeddings": client.embedding, "orig_im_size": [96, 160]}
            for asked, places, labels in (
                (alone, [[1, 2]], [4 + k]),
                (boxed, [[20, 88], [74, 138], [0, 0]], [2, 3, 4 + k]),
            ):
                inputs |= {
                    "point_coords": [places], "point_labels": [labels],
                    "mask_input": np.zeros((1, 1, *client.mask_shape)),
                    "has_mask_input": [0],
                }  # fmt: skip
                fed = {key: np.asarray(v, np.float32) for key, v in inputs.items()}
                _, scores, low = client.decoder.run(None, fed)
                assert np.abs(low[:, 0] - asked.logits.numpy()).max() < 1e-3
                assert np.abs(scores[:, 0] - asked.scores.numpy()).max() < 1e-4


def test_its_inputs_and_outputs_are_those_of_segment_anything(made):
    decoder = made[0].decoder
    assert [given.name for given in decoder.get_inputs()] == [
        "image_embeddings", "point_coords", "point_labels", "mask_input",
        "has_mask_input", "orig_im_size",
    ]  # fmt: skip
    assert [found.name for found in decoder.get_outputs()] == [
        "masks", "iou_predictions", "low_res_masks",
    ]  # fmt: skip
