"""A learnt token per class: the sparse prompt that asks SAM for that class.

They are part of the prompt encoder, which an adapter holds anyway: its file stays one
that stock PEFT reads, and a SAM without classes is SAM as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

TOKENS = "class_tokens"
"""Name of the tokens among the prompt encoder's modules."""


def add_class_tokens(sam: Sam, count: int) -> None:
    """Let a SAM tell classes apart; before it is wrapped by PEFT.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.sam.checkpoints.load_sam`.
    count : int
        K classes. One class needs no token, and changes nothing.
    """
    if count > 1:
        width = int(sam.prompt_encoder.embed_dim)
        sam.prompt_encoder.add_module(TOKENS, nn.Embedding(count, width))


def count_classes(sam: Sam) -> int:
    """The number of classes K of a SAM; 1 without tokens."""
    tokens = getattr(sam.prompt_encoder, TOKENS, None)
    return 1 if tokens is None else int(tokens.num_embeddings)


def drop_class_tokens(sam: Sam) -> None:
    """Make it a plain SAM again, whose layout has no place for classes."""
    if hasattr(sam.prompt_encoder, TOKENS):
        delattr(sam.prompt_encoder, TOKENS)
