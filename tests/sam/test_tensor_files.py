"""Checkpoints and adapters that claim more than they hold, or nothing that counts."""

from __future__ import annotations

import json
import os
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from napari_samsp.sam import architecture as sam
from napari_samsp.sam import tensor_files
from napari_samsp.sam.checkpoints import load_sam, load_state_dict
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.errors import InputError

MINI = sam.Architecture(64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64)
POSITIONS = "image_encoder.pos_embed"
WINDOW, GLOBAL = (f"image_encoder.blocks.{n}.attn.rel_pos_h" for n in (0, 1))
FUSED = "image_encoder.blocks.0.attn.qkv.weight"
NECK = "image_encoder.neck.0.weight"


@pytest.fixture(autouse=True)
def mini(monkeypatch) -> None:
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", MINI)


@pytest.fixture(scope="module")
def whole() -> dict[str, torch.Tensor]:
    """A small random SAM in SAM's own layout."""
    torch.manual_seed(0)
    return sam.to_stock_layout(sam.build_sam(MINI).state_dict())


def saved(tmp_path, state, **changes):
    path = tmp_path / "a.pth"
    torch.save(state | changes, path)
    return str(path)


def expanded(*shape: int) -> torch.Tensor:
    """One number that claims to be many."""
    return torch.zeros(1).expand(shape)


def quantised(*shape: int) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    "tensor",
    [
        expanded(32, 32, 10**5, 10**5),
        torch.zeros(32, 32, 1, 1).to_sparse(),
        torch.zeros(32, 32, 1, 1, device="meta"),
        torch.zeros(32, 32, 1, 1, dtype=torch.complex64),
        torch.ones(32, 32, 1, 1, dtype=torch.bool),
        torch.ones(32, 32, 1, 1, dtype=torch.int64),
    ],
    ids=["expanded", "sparse", "meta", "complex", "bool", "int"],
)
def test_tensors_of_other_kinds(tmp_path, whole, tensor):
    path = saved(tmp_path, whole, **{NECK: tensor})
    with pytest.raises(InputError, match=rf"plain floating-point numbers \({NECK}\)"):
        load_sam(path)


@pytest.mark.filterwarnings("ignore:.*quant", "ignore:TypedStorage")
def test_quantised_tensors(tmp_path, whole):
    path = saved(tmp_path, whole, **{NECK: quantised(32, 32, 1, 1)})
    with pytest.raises(InputError, match="quantised"):
        load_sam(path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (POSITIONS, (1, 4, 10**7, 32)),
        (POSITIONS, (1, 2 * 10**6, 2 * 10**6, 32)),
        (FUSED, (10**12, 32)),
    ],
)
def test_a_stride_of_0_claims_terabytes(tmp_path, whole, name, shape):
    with pytest.raises(InputError, match="plain floating-point"):
        load_sam(saved(tmp_path, whole, **{name: expanded(*shape)}))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (POSITIONS, (1, 10_000, 1, 32)),
        (POSITIONS, (1, 4, 5, 32)),
        (FUSED, ()),
        (FUSED, (2, 32)),
        (WINDOW, (5, 16)),
        (GLOBAL, (0, 16)),
        (GLOBAL, ()),
        (GLOBAL, (7,)),
        (GLOBAL, (6, 16)),
        (GLOBAL, (7, 15)),
    ],
)
def test_odd_shapes_are_told_before_anything_is_built(tmp_path, whole, name, shape):
    with pytest.raises(InputError, match=rf"of another shape \({name}"):
        load_sam(saved(tmp_path, whole, **{name: torch.zeros(shape)}))


def test_relative_positions_of_another_size_are_stretched(tmp_path, whole):
    path = saved(tmp_path, whole, **{GLOBAL: torch.ones(13, 16)})
    attention = load_sam(path).sam.image_encoder.blocks[1].attn
    assert torch.equal(attention.rel_pos_h, torch.ones(7, 16))


def test_tensors_that_share_a_storage_or_are_transposed_pass(tmp_path, whole):
    """As others save them; only what is not there at all is refused."""
    turned = whole[NECK].transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned.is_contiguous()
    path = saved(tmp_path, whole, **{NECK: turned})
    assert torch.equal(load_state_dict(path)[NECK], whole[NECK])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38, -1e300])
def test_weights_that_give_nothing(tmp_path, whole, value):
    broken = whole[NECK].double()
    broken[3, 4] = value
    with pytest.raises(InputError, match=rf"absurdly large values \({NECK}\)"):
        load_sam(saved(tmp_path, whole, **{NECK: broken}))


def test_an_output_of_nan_is_said(whole):
    """Whatever the reason; half precision, for instance, overflows early."""
    model = sam.build_sam(MINI)
    model.mask_decoder.iou_token.weight.data.fill_(float("nan"))
    with torch.inference_mode(), pytest.raises(InputError, match="not finite"):
        SelfPrompting(model).eval()(
            torch.zeros(1, 3, 64, 64), torch.tensor([[40, 64]]), 2
        )


def test_a_wrapper_that_holds_itself(tmp_path):
    content: dict = {}
    content["model"] = content
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match="holds no tensors"):
        load_state_dict(path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_file_larger_than_any_model(tmp_path, whole, name):
    path = tmp_path / name
    save_file(whole, path) if name.endswith("s") else torch.save(whole, path)
    os.truncate(path, 30 * 10**9)  # takes no room
    with pytest.raises(InputError, match="has 30 GB"):
        load_sam(str(path))


def test_a_header_of_many_tensors(tmp_path):
    one = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{n}": one for n in range(50_000)}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match="far more tensors"):
        load_state_dict(path)


def test_a_pickle_of_many_tensors(tmp_path):
    shared = torch.zeros(1)
    path = tmp_path / "a.pth"
    torch.save({f"a tensor of a long name {n}": shared[:] for n in range(40_000)}, path)
    with pytest.raises(InputError, match="far more tensors"):
        load_state_dict(path)


def test_a_zip_of_many_records(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(tensor_files, "MOST_RECORDS", 10)
    with pytest.raises(InputError, match="far more tensors"):
        load_sam(saved(tmp_path, whole))


def test_a_zip_that_unfolds(tmp_path, whole):
    stored, packed = saved(tmp_path, whole), tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(stored) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for record in source.infolist():
            target.writestr(record.filename, source.read(record))
    with pytest.raises(InputError, match="damaged"):
        load_state_dict(packed)
