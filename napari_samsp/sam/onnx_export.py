"""SAM as two ONNX files: the image encoder, and prompt encoder with mask decoder.

The decoder's inputs and outputs have the names, the order and the meaning of those of
segment_anything's own exporter, so that its clients can use it; there is one mask per
prompt, the one that self-prompting uses. Of an adapter with classes, a point whose
label is `CLASS_LABEL` or more asks for a class; where it lies does not count.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.utils.onnx import SamOnnxModel
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_samsp.sam.adapters.class_tokens import TOKENS
from napari_samsp.sam.architecture import embedding_channels, is_hybrid
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segment_anything.modeling import Sam
    from torch import Tensor, nn

OPSET = 18
ONE_FILE_BYTES = 1_900_000_000
"""A larger model keeps its weights beside the .onnx file, whose format ends at 2 GB."""
DECODER_INPUTS = (
    "image_embeddings",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
)
CLASS_LABEL = 4
"""Label of the point that asks for the first class; the next ones follow."""
DECODER_OUTPUTS = ("masks", "iou_predictions", "low_res_masks")


class PromptDecoder(SamOnnxModel):
    """Prompt encoder and mask decoder as one module without Python's branches.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.sam.architecture.build_sam`.
    """

    def __init__(self, sam: Sam) -> None:
        super().__init__(sam, return_single_mask=False)

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode N prompts on one image.

        Parameters
        ----------
        image_embeddings : Tensor
            ``(1, C, h, w)``.
        point_coords : Tensor
            ``(N, P, 2)`` x and y in input pixels. A box is its two corners; no prompt
            is P = 0.
        point_labels : Tensor
            ``(N, P)`` float: 1 and 0 for points inside and outside, 2 and 3 for a
            box's first and second corner, -1 for padding: stock SAM adds one such
            point where there are points and no box. With classes ``CLASS_LABEL + k``
            for the k-th, one such point a prompt.
        mask_input : Tensor
            ``(N, 1, m, m)`` low-res logits.
        has_mask_input : Tensor
            ``(1,)`` float: 1, or 0 to leave ``mask_input`` out.
        orig_im_size : Tensor
            ``(2,)`` float: height Y and width X of the image.

        Returns
        -------
        tuple of Tensor
            ``(N, 1, Y, X)`` logits in the image's pixels, foreground above 0, ``(N,
            1)`` predicted IoU, and ``(N, 1, m, m)`` low-res logits.
        """
        dense = self._embed_masks(mask_input, has_mask_input)
        if is_hybrid(self.model):
            dense = dense + self._embed_drawing(point_coords, point_labels)
        logits, scores = self.mask_decoder.predict_masks(
            image_embeddings=image_embeddings,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=self._embed_points(point_coords, point_labels),
            dense_prompt_embeddings=dense,
        )
        masks = self._in_image(logits[:, :1], orig_im_size)
        return masks, scores[:, :1], logits[:, :1]

    def _in_image(self, logits: Tensor, shape: Tensor) -> Tensor:
        """The same as `logits_to_image`, for a size that only the graph will know."""
        rows, columns = (
            self._stretch(logits.shape[-1], side, shape.max()) for side in shape
        )
        return rows @ logits @ columns.mT

    def _stretch(self, cells: int, side: Tensor, longest: Tensor) -> Tensor:
        """``(side, cells)``, as `napari_samsp.self_prompting.letterbox.stretch`."""
        size = int(self.img_size)
        to_input = F.interpolate(torch.eye(cells)[None], size, mode="linear")[0].mT
        valid = (side * (size / longest) + 0.5).floor().clamp(min=1)
        length = int(side.to(torch.int64).item())
        torch._check(length >= 1)
        # Between the two nearest of those input pixels that are no padding.
        places = (torch.arange(length) + 0.5) * (valid / side) - 0.5
        places = torch.minimum(places.clamp(min=0), valid - 1)
        near = 1 - (places[:, None] - torch.arange(size)).abs()
        return near.clamp(min=0) @ to_input

    def _embed_points(self, place: Tensor, labels: Tensor) -> Tensor:
        """``(N, P, C)``; a class is its token, wherever its point is."""
        embedded = super()._embed_points(place, labels)
        tokens = getattr(self.model.prompt_encoder, TOKENS, None)
        for k, token in enumerate(() if tokens is None else tokens.weight):
            asked = (labels == CLASS_LABEL + k)[..., None]
            embedded = torch.where(asked, token, embedded)
        return embedded

    def _embed_drawing(self, place: Tensor, labels: Tensor) -> Tensor:
        """What points and a box add to the dense prompt; of neither, nothing."""
        encoder = self.model.prompt_encoder
        drawing = encoder.draw_corners(place, labels)
        drawn = (labels >= 0) & (labels < CLASS_LABEL)
        given = drawn.sum(1) > 0  # any() of none is true in ONNX
        embedded = encoder.drawing_downscaling(drawing)
        return embedded * given.to(embedded.dtype)[:, None, None, None]


def onnx_files(output: Path) -> tuple[Path, Path]:
    """Where the two files go.

    Parameters
    ----------
    output : Path
        ``FILE.onnx``.

    Returns
    -------
    tuple of Path
        ``FILE.encoder.onnx`` and ``FILE.decoder.onnx``.
    """
    return output.with_suffix(".encoder.onnx"), output.with_suffix(".decoder.onnx")


def check_onnx() -> None:
    """Check that what writing ONNX needs is installed.

    Raises
    ------
    InputError
        If it is not.
    """
    if missing := [
        name for name in ("onnx", "onnxscript") if not importlib.util.find_spec(name)
    ]:
        raise InputError(
            f"Writing ONNX needs {' and '.join(missing)}: install them with "
            'pip install "napari-samsp[onnx]".'
        )


def write_onnx(sam: Sam, output: Path, about: Mapping[str, str]) -> list[Path]:
    """Write a SAM as ONNX; each file is complete or not there.

    Parameters
    ----------
    sam : Sam
        Adapters merged, on the CPU.
    output : Path
        ``FILE.onnx``, see `onnx_files`; its folder must exist.
    about : mapping of str to str
        Goes into both files' metadata.

    Returns
    -------
    list of Path
        The encoder and the decoder, and where a model is too large for one file,
        its weights.

    Raises
    ------
    InputError
        If onnx or onnxscript is not installed.
    """
    check_onnx()
    encoder, decoder = onnx_files(output)
    size, patches = sam.image_encoder.img_size, sam.prompt_encoder.image_embedding_size
    mask_size = sam.prompt_encoder.mask_input_size
    embedding = torch.zeros(1, sum(embedding_channels(sam)), *patches)
    # Sizes of 0 and 1 would be taken for constants.
    n, p = 3, 2
    prompts = (
        torch.full((n, p, 2), size / 2),
        torch.ones(n, p),
        torch.zeros(n, 1, *mask_size),
        torch.ones(1),
        torch.tensor([2.0 * size / 3, size]),
    )
    any_n, any_p = torch.export.Dim("prompts"), torch.export.Dim("points")
    free: tuple[dict[int, Any], ...]
    free = ({}, {0: any_n, 1: any_p}, {0: any_n, 1: any_p}, {0: any_n}, {}, {})
    written = write_graph(
        sam.image_encoder,
        (torch.zeros(1, 3, size, size),),
        encoder,
        about,
        input_names=["image"],
        output_names=["image_embeddings"],
    )
    return written + write_graph(
        PromptDecoder(sam).eval(),
        (embedding, *prompts),
        decoder,
        about,
        input_names=list(DECODER_INPUTS),
        output_names=list(DECODER_OUTPUTS),
        dynamic_shapes=free,
    )


def write_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    about: Mapping[str, str],
    **options: Any,
) -> list[Path]:
    """Write a module as an ONNX file that is complete or not there.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode, on the CPU.
    example : tuple of Tensor
        Arguments to trace it with.
    path : Path
        The file; its folder must exist.
    about : mapping of str to str
        Goes into its metadata.
    **options
        Passed on to `torch.onnx.export`.

    Returns
    -------
    list of Path
        The file, and where the module is too large for one, its weights.
    """
    # The fused attention's strides do not survive the way to ONNX; the plain one is
    # the same sum. The warnings are about names of our free sizes.
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
        warnings.catch_warnings(action="ignore"),
    ):
        program = torch.onnx.export(
            module, example, opset_version=OPSET, dynamo=True, verbose=False, **options
        )
    assert program is not None
    program.model.metadata_props.update(about)
    weights = sum(
        value.const_value.nbytes
        for value in program.model.graph.initializers.values()
        if value.const_value is not None
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".onnx.") as folder:
        fresh = Path(folder) / path.name
        program.save(str(fresh), external_data=weights > ONE_FILE_BYTES)
        # The weights first: an .onnx file is never there without them.
        parts = sorted(Path(folder).iterdir(), key=lambda part: part == fresh)
        for part in parts:
            os.replace(part, path.parent / part.name)
    return [path.parent / part.name for part in reversed(parts)]
