"""Every iteration reads its prompt from the one before."""

from __future__ import annotations

import torch

from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.model import SelfPrompting

SMALL = Architecture(64, 8, 32, 2, 2, (1,), 4, prompt_dim=32, decoder_mlp_dim=64)


def model(**kwargs) -> SelfPrompting:
    torch.manual_seed(0)
    return SelfPrompting(build_sam(SMALL), **kwargs)


def test_forward_gives_every_iteration_with_its_prompt():
    images = torch.randn(2, 3, 64, 64)
    valid = torch.tensor([[64, 40], [30, 64]])
    ours = model(kind="box+mask")
    with torch.no_grad():
        steps = ours(images, valid, 3)
    assert [step.prompt is None for step in steps] == [True, False, False]
    for step in steps:
        assert step.logits.shape == (2, 32, 32)
        assert step.scores.shape == (2,)
    # The mask prompt is the previous iteration's logits, the box lies in the image.
    for n, (height, width) in enumerate(valid // ours.stride):
        inside = (n, slice(height), slice(width))
        torch.testing.assert_close(
            steps[1].prompt.masks[:, 0][inside], steps[0].logits[inside]
        )
    boxes = steps[2].prompt.boxes
    assert (boxes[:, 2] <= valid[:, 1]).all()
    assert (boxes[:, 3] <= valid[:, 0]).all()


def test_batch_of_images_equals_one_by_one():
    ours = model(kind="box+mask")
    images = torch.randn(3, 3, 64, 64)
    valid = torch.full((3, 2), 64)
    with torch.no_grad():
        together = ours(images, valid, 2)[1].logits
        alone = [ours(images[n : n + 1], valid[:1], 2)[1].logits for n in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_gradients_stop_at_the_prompt():
    """The second iteration's loss reaches the encoder, not through the first."""
    ours = model(kind="box+mask").train()
    first = ours.decode(ours.encode(torch.randn(1, 3, 64, 64)), torch.tensor([0]))
    prompt, _, _ = ours.next_prompt(first, torch.tensor([[64, 64]]))
    assert first.logits.requires_grad
    assert not prompt.masks.requires_grad
    assert not prompt.boxes.requires_grad


def decoding(*squares: tuple[int, int, int]) -> Decoding:
    """One map of logits with a square for each top, left, side."""
    logits = torch.full((1, 32, 32), -5.0)
    for top, left, side in squares:
        logits[0, top : top + side, left : left + side] = 5.0
    return Decoding(logits, torch.ones(1), torch.tensor([0]))


def test_each_object_gets_its_own_prompt():
    ours = model(kind="box", objects=True)
    valid = torch.tensor([[64, 64]])
    prompt, index, regions = ours.next_prompt(
        decoding((2, 3, 5), (20, 10, 6), (28, 28, 1)), valid
    )
    assert index.tolist() == [0, 0]  # a single pixel is noise
    assert prompt.boxes.tolist() == [[6, 4, 16, 14], [20, 40, 32, 52]]
    assert regions.flatten(1).sum(1).tolist() == [25, 36]


def test_without_objects_the_box_holds_everything():
    """But specks, which a mask prompt still shows."""
    prompt, _, regions = model(kind="box+mask").next_prompt(
        decoding((2, 3, 5), (20, 10, 6), (30, 30, 2)), torch.tensor([[64, 64]])
    )
    assert prompt.boxes.tolist() == [[6, 4, 32, 52]]
    assert (prompt.masks[0, 0, 30:, 30:] == 5).all()
    assert regions[0, 31, 31]


def test_no_object_left_is_no_error():
    ours = model(kind="box+mask", objects=True)
    embeddings = ours.encode(torch.randn(1, 3, 64, 64))
    with torch.no_grad():
        ours.sam.mask_decoder.output_hypernetworks_mlps[0].layers[-1].weight.zero_()
        ours.sam.mask_decoder.output_hypernetworks_mlps[0].layers[-1].bias.zero_()
    steps = list(ours.iterate(embeddings, torch.tensor([[64, 64]]), 3))
    assert [len(step.logits) for step in steps] == [1, 0, 0]


def test_instances_merge_by_largest_logit():
    logits = torch.full((2, 4, 4), -1.0)
    logits[0, :, :3] = 1.0
    logits[1, :, 2:] = 2.0
    merged = Decoding(logits, torch.ones(2), torch.tensor([0, 0])).instances(1)
    assert merged[0, 0].tolist() == [1, 1, 2, 2]
