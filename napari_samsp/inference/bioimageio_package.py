"""A model with its adapter as a bioimage.io package: prompt-free SAM-SP as ONNX.

The programs around https://bioimage.io run it without us.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import tempfile
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from napari_samsp.data.rgb import to_rgb8
from napari_samsp.sam import registry as models
from napari_samsp.sam.onnx_export import OPSET, check_onnx, write_graph
from napari_samsp.self_prompting.traceable import PromptFree
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.sam.adapters.adapter_card import AdapterCard

INPUT, OUTPUT = "image", "foreground"
"""Names of the two tensors."""
CITED = (
    (
        "Zhou et al.: SAM-SP: Self-Prompting Makes SAM Great Again (2024)",
        "10.48550/arXiv.2408.12364",
    ),
    ("Kirillov et al.: Segment Anything (2023)", "10.48550/arXiv.2304.02643"),
)


def check_bioimageio() -> None:
    """Check that what writing a package needs is installed.

    Raises
    ------
    InputError
        If it is not.
    """
    check_onnx()
    if not (
        importlib.util.find_spec("bioimageio")
        and importlib.util.find_spec("bioimageio.spec")
    ):
        raise InputError(
            "Writing a bioimage.io package needs bioimageio.spec: install it with "
            'pip install "napari-samsp[bioimageio]".'
        )


def what_is_lost(card: AdapterCard) -> list[str]:
    """How the package differs from the adapter in napari-samsp.

    Parameters
    ----------
    card : AdapterCard
        Card of the adapter.

    Returns
    -------
    list of str
        One or two sentences for each difference.
    """
    said = []
    if card.objects:
        said.append(
            "The adapter segments objects one by one, which a package cannot: it gives "
            "the foreground of iteration 0. Objects that touch are not told apart, and "
            "no object is refined by a prompt of its own."
        )
    if card.field_of_view and min(card.field_of_view) != card.image_size:
        seen = " to ".join(map(str, dict.fromkeys(card.field_of_view)))
        said.append(
            f"The adapter was trained on views of {seen} pixels, each resized to "
            f"{card.image_size}; the package resizes nothing. Resize images so that "
            "objects are as large as they were then."
        )
    return said


def write_package(sam: Sam, output: Path, card: AdapterCard, name: str) -> None:
    """Write a bioimage.io package; it is complete and valid, or not there.

    Parameters
    ----------
    sam : Sam
        The adapter merged, class tokens kept, on the CPU, of the card's input size S.
    output : Path
        ``NAME.bioimageio.zip``; its folder must exist.
    card : AdapterCard
        Card of the adapter.
    name : str
        What the adapter is called.

    Raises
    ------
    InputError
        If a library is missing, or the adapter's prompt cannot be exported.
    """
    check_bioimageio()
    from bioimageio.spec import save_bioimageio_package

    # Of objects, only what needs no step outside of the network.
    graph = PromptFree(sam, card.prompt, 1 if card.objects else card.iterations).eval()
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".package.") as made:
        folder = Path(made)
        raw = _example(card.image_size, card.scaling)
        np.save(folder / "test_input.npy", raw)
        with torch.no_grad():
            logits = graph(torch.from_numpy(_scaled(raw, card.scaling)))
        np.save(folder / "test_output.npy", logits.sigmoid().numpy())
        write_weights(graph, folder / "weights.onnx", card)
        _write_texts(folder, card, name)
        described = _describe(folder, card, name)
        package = folder / "package.zip"
        save_bioimageio_package(described, output_path=package)
        os.replace(package, output)


def write_weights(graph: PromptFree, path: Path, card: AdapterCard) -> list[Path]:
    """Write the network; images narrower than its input are padded in it.

    Parameters
    ----------
    graph : PromptFree
        In evaluation mode, on the CPU.
    path : Path
        An ``.onnx`` file.
    card : AdapterCard
        Goes into the metadata.

    Returns
    -------
    list of Path
        As `napari_samsp.sam.onnx_export.write_graph`.
    """
    size = card.image_size
    side = {
        axis: torch.export.Dim(called, max=size)
        for axis, called in ((2, "height"), (3, "width"))
    }
    return write_graph(
        graph,
        (torch.zeros(1, 3, size - 3, size - 5),),  # two sizes, neither the largest
        path,
        {"samsp": json.dumps(asdict(card))},
        input_names=[INPUT],
        output_names=["logits"],
        dynamic_shapes=(side,),
    )


def _scaled(raw: np.ndarray, scaling: Scaling) -> np.ndarray:
    """What `_preprocessing` describes."""
    if scaling.kind == "none":
        return raw
    low, high = scaling.low, scaling.high
    if scaling.kind == "percentile":
        low, high = np.percentile(raw, (low, high))
    return ((raw - low) / (high - low) * 255).clip(0, 255).astype(np.float32)


def _example(size: int, scaling: Scaling) -> np.ndarray:
    """A sample image in intensities of the kind that the adapter was trained on."""
    file = resources.files("napari_samsp") / "samples" / "nuclei.png"
    with file.open("rb") as opened, Image.open(opened) as stored:
        picture = Image.fromarray(to_rgb8(np.asarray(stored)))
    seen = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    raw = seen.transpose(2, 0, 1)[None].astype(np.float32)
    if scaling.kind == "limits":
        raw = raw * np.float32((scaling.high - scaling.low) / 255) + scaling.low
    return np.ascontiguousarray(raw, np.float32)


def _preprocessing(scaling: Scaling) -> list[Any]:
    from bioimageio.spec.model import v0_5 as spec

    if scaling.kind == "none":
        return []
    if scaling.kind == "limits":
        gain = 255 / (scaling.high - scaling.low)
        linear = spec.ScaleLinearKwargs(gain=gain, offset=-scaling.low * gain)
        return [
            spec.ScaleLinearDescr(kwargs=linear),
            spec.ClipDescr(kwargs=spec.ClipKwargs(min=0, max=255)),
        ]
    limits = spec.ScaleRangeKwargs(
        axes=[spec.AxisId(axis) for axis in ("channel", "y", "x")],
        min_percentile=scaling.low,
        max_percentile=scaling.high,
    )
    return [
        spec.ScaleRangeDescr(kwargs=limits),
        spec.ClipDescr(kwargs=spec.ClipKwargs(min=0, max=1)),
        spec.ScaleLinearDescr(kwargs=spec.ScaleLinearKwargs(gain=255)),
    ]


def _describe(folder: Path, card: AdapterCard, name: str) -> Any:
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5 as spec

    size = card.image_size
    plain = re.sub(r"[^A-Za-z0-9_+() -]+", "-", name)[:100]
    source = spec.InputTensorDescr(
        id=spec.TensorId(INPUT),
        description="RGB; gray fills all three channels",
        axes=[
            spec.BatchAxis(size=1),
            spec.ChannelAxis(channel_names=["red", "green", "blue"]),
            spec.SpaceInputAxis(id=spec.AxisId("y"), size=size),
            spec.SpaceInputAxis(id=spec.AxisId("x"), size=size),
        ],
        test_tensor=FileDescr(source=folder / "test_input.npy"),
        preprocessing=_preprocessing(card.scaling),
    )
    target = spec.OutputTensorDescr(
        id=spec.TensorId(OUTPUT),
        description="Probability of foreground, a channel a class",
        axes=[
            spec.BatchAxis(size=1),
            spec.ChannelAxis(
                channel_names=[one.name for one in card.classes] or [OUTPUT]
            ),
            spec.SpaceOutputAxis(id=spec.AxisId("y"), size=size),
            spec.SpaceOutputAxis(id=spec.AxisId("x"), size=size),
        ],
        test_tensor=FileDescr(source=folder / "test_output.npy"),
        data=spec.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
        postprocessing=[spec.SigmoidDescr()],
    )
    beside = folder / "weights.onnx.data"
    weights = spec.OnnxWeightsDescr(
        source=folder / "weights.onnx",
        opset_version=OPSET,
        external_data=FileDescr(source=beside) if beside.exists() else None,
    )
    return spec.ModelDescr(
        name=f"SAM-SP {plain}",
        description="Prompt-free segmentation with Segment Anything that prompts "
        f"itself (SAM-SP), fine-tuned from {card.base}.",
        cite=[spec.CiteEntry(text=text, doi=spec.Doi(doi)) for text, doi in CITED],
        license=FileDescr(source=folder / "LICENCE.txt"),
        documentation=FileDescr(source=folder / "README.md"),
        tags=["2d", "semantic-segmentation", "segment-anything", "sam-sp", "lora"],
        inputs=[source],
        outputs=[target],
        weights=spec.WeightsDescr(onnx=weights),
        config=spec.Config.model_validate(
            {"samsp": json.loads(json.dumps(asdict(card)))}
        ),
    )


def _write_texts(folder: Path, card: AdapterCard, name: str) -> None:
    lost = "".join(f"- {one}\n" for one in what_is_lost(card))
    count = 1 if card.objects else card.iterations
    steps = "once, without a prompt"
    if count > 1:
        steps = (
            f"{count} times: without a prompt, then prompted by the {card.prompt} of "
            "its own output"
        )
    channels = "a channel a class" if card.classes else "one channel"
    trained_on = "1 image" if card.images == 1 else f"{card.images} images"
    readme = f"""# {name}

Segment Anything that prompts itself ([SAM-SP](https://arxiv.org/abs/2408.12364)), made
with napari-samsp from the base model {card.base} and an adapter trained on
{trained_on}. The network decodes {steps}.

- Input: RGB of {card.image_size} x {card.image_size} pixels; gray fills all three
  channels. Larger images are tiled by the program that runs it. The ONNX file itself
  takes 0 to 255, and smaller images too, which it pads as Segment Anything does.
- Output: the probability of foreground, 0 to 1, {channels}. The ONNX file itself gives
  logits.
{lost}
## Validation

{_figures(card)} To validate it on your own images, compare its output, cut at 0.5, with
masks that it was not trained on, by Dice or IoU. `bioimageio test` runs the test
tensors.

## Before you publish it

Name the authors in the description file, choose a licence for your part, and cite both
papers that are named there.
"""
    (folder / "README.md").write_text(readme, encoding="utf-8")
    base = "as its publisher says"
    if card.base in models.names():
        base = models.info(card.base).licence
    licence = f"Adapter: {card.licence}\nBase model {card.base}: {base}\n"
    (folder / "LICENCE.txt").write_text(licence, encoding="utf-8")


def _figures(card: AdapterCard) -> str:
    figures = card.after or {}
    if not figures.get("dice"):
        return "It was not measured."
    of = "held-out images" if card.held_out else "the training images themselves"
    return (
        f"In napari-samsp its mean Dice over {figures.get('n', '?')} of {of} was "
        f"{figures['dice'][-1]:.3f}."
    )
