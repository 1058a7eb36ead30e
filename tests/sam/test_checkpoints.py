from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from napari_samsp.sam import architecture as sam
from napari_samsp.sam import checkpoints
from napari_samsp.sam import registry as models
from napari_samsp.sam.checkpoints import load_sam, load_state_dict
from napari_samsp.sam.registry import file_sha256
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import models_folder

if TYPE_CHECKING:
    from pathlib import Path

MINI = sam.Architecture(64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64)


@pytest.fixture(autouse=True)
def mini(monkeypatch) -> None:
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", MINI)


@pytest.fixture(scope="module")
def split() -> dict[str, torch.Tensor]:
    """The state dict of a small random SAM, in the layout of `build_sam`."""
    torch.manual_seed(0)
    return sam.build_sam(MINI).state_dict()


@pytest.fixture(scope="module")
def stock(split) -> dict[str, torch.Tensor]:
    """The same in SAM's own layout."""
    return sam.to_stock_layout(split)


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) for k in one
    )


class Mine:
    """Runs when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_formats(tmp_path: Path, stock, suffix: str) -> None:
    path = tmp_path / f"sam{suffix}"
    save_file(stock, path) if suffix == ".safetensors" else torch.save(stock, path)
    assert equal(load_state_dict(path), stock)


def test_old_format_of_torch(tmp_path: Path, stock) -> None:
    path = tmp_path / "old.pth"
    torch.save(stock, path, _use_new_zipfile_serialization=False)
    assert equal(load_state_dict(path), stock)


@pytest.mark.parametrize("wrapper", ["model_state", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "sam.", "module.sam.", "net."])
def test_wrappers_and_prefixes(tmp_path, stock, wrapper: str, prefix: str) -> None:
    path = tmp_path / "wrapped.pth"
    inner = {f"{prefix}{k}": v for k, v in stock.items()}
    torch.save({wrapper: inner, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    assert equal(load_state_dict(path), stock)


@pytest.mark.parametrize("prefix", ["", "sam.", "module.sam."])
def test_a_second_decoder_that_is_not_known_is_left_out(
    tmp_path, stock, prefix
) -> None:
    """As its training saves it: the decoder beside SAM, or among SAM's tensors."""
    path = tmp_path / "both.pt"
    inner = {f"{prefix}{k}": v for k, v in stock.items()}
    extra = {"decoder.blocks.0.weight": torch.ones(2), "out_conv.bias": torch.ones(2)}
    torch.save(
        {"model_state": inner | extra, "decoder_state": {"x": torch.ones(1)}}, path
    )
    assert equal(load_state_dict(path), stock)
    note = load_sam(str(path)).note
    assert "a second decoder of a kind that is not known" in note
    assert "2 tensors that are not SAM's (decoder.blocks.0.weight, out_conv" in note


def test_what_lies_outside_of_sam_is_left_out_with_a_note(tmp_path, stock) -> None:
    path = tmp_path / "lightning.ckpt"
    inner = {f"model.{k}": v for k, v in stock.items()} | {"loss.w": torch.ones(1)}
    torch.save({"state_dict": inner}, path)
    assert equal(load_state_dict(path), stock)
    assert load_sam(str(path)).note == (
        "Left out: 1 tensors that are not SAM's (loss.w)."
    )


def test_stock_buffers_are_nothing_to_note(tmp_path: Path, stock) -> None:
    path = tmp_path / "buffers.pth"
    torch.save(stock | {"pixel_mean": torch.ones(3), "pixel_std": torch.ones(3)}, path)
    assert equal(load_state_dict(path), stock)
    assert load_sam(str(path)).note == ""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_cut_short(tmp_path: Path, stock, suffix: str, kept: float) -> None:
    path = tmp_path / f"sam{suffix}"
    save_file(stock, path) if suffix == ".safetensors" else torch.save(stock, path)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(InputError, match="cut short, damaged"):
        load_state_dict(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_not_a_checkpoint(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"page{suffix}"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(InputError, match="another kind"):
        load_state_dict(path)


@pytest.mark.parametrize("how", ["plain pickle", "torch", "torch, old format"])
def test_code_is_never_run(tmp_path: Path, stock, how: str) -> None:
    target, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = {"model_state": stock, "mine": Mine(target)}
    if how == "plain pickle":
        path.write_bytes(pickle.dumps(Mine(target)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(InputError, match=r"run code|cannot be read"):
        load_state_dict(path)
    assert not target.exists()
    if how == "torch":  # the trap is real
        torch.load(path, weights_only=False)
        assert target.exists()


def test_a_checkpoint_of_micro_sams_training_names_its_exporter(tmp_path, stock):
    """Which holds data loaders and other objects beside the weights."""
    content = {
        "model_state": stock, "optimizer_state": {}, "best_metric": 0.5,
        "init": {"train_loader": Mine(tmp_path / "ran")},
    }  # fmt: skip
    torch.save(content, tmp_path / "best.pt")
    with pytest.raises(InputError, match="export_custom_sam_model"):
        load_state_dict(tmp_path / "best.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {}}, {"epoch": 3}])
def test_no_tensors(tmp_path: Path, content) -> None:
    path = tmp_path / "empty.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match="holds no tensors"):
        load_state_dict(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint file"):
        load_state_dict(tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match="no checkpoint file"):
        load_sam(str(tmp_path))


@pytest.mark.parametrize("layout", ["stock", "split"])
def test_load_sam_from_a_file(tmp_path: Path, stock, split, layout: str) -> None:
    path = tmp_path / "mine.pth"
    torch.save(stock if layout == "stock" else split, path)
    loaded = load_sam(str(path))
    assert (loaded.name, loaded.architecture) == ("mine.pth", "mini")
    assert loaded.sha256 == file_sha256(path)
    assert equal(loaded.sam.state_dict(), split)
    assert not loaded.sam.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32(tmp_path: Path, stock, split, dtype) -> None:
    path = tmp_path / "half.safetensors"
    save_file({k: v.to(dtype) for k, v in stock.items()}, path)
    state = load_sam(str(path)).sam.state_dict()
    assert {v.dtype for v in state.values()} == {torch.float32}
    assert all(torch.equal(v, split[k].to(dtype).float()) for k, v in state.items())


def test_tensors_that_do_not_fit_are_named(tmp_path: Path, stock) -> None:
    path = tmp_path / "other.pth"
    state = dict(stock)
    del state["mask_decoder.iou_token.weight"]
    state["mask_decoder.surprise"] = torch.ones(1)
    state["image_encoder.neck.0.weight"] = torch.ones(3, 2, 1, 1)
    torch.save(state, path)
    with pytest.raises(InputError) as error:
        load_sam(str(path))
    said = str(error.value)
    assert "1 missing (mask_decoder.iou_token.weight)" in said
    assert "1 unknown (mask_decoder.surprise)" in said
    assert "image_encoder.neck.0.weight (3, 2, 1, 1) instead of (32, 32, 1, 1)" in said


def test_another_network_is_told(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.ones(3, 3)}, path)
    with pytest.raises(InputError, match="holds no SAM"):
        load_sam(str(path))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"no file vit_z; .* samsp_small, vit_t"):
        load_sam("vit_z")


def test_model_that_is_not_downloaded() -> None:
    with pytest.raises(InputError, match="models download vit_b"):
        load_sam("vit_b")


def test_a_model_of_a_name_must_be_the_published_file(stock) -> None:
    models_folder().mkdir(parents=True)
    torch.save(stock, models_folder() / models.info("vit_b").file)
    with pytest.raises(InputError, match="not the published vit_b"):
        load_sam("vit_b")


def test_the_bundled_model() -> None:
    loaded = load_sam("samsp_small")
    assert (loaded.name, loaded.architecture) == ("samsp_small", "samsp_small")
    assert models.path("samsp_small").stat().st_size <= 20e6
    parameters = sum(p.numel() for p in loaded.sam.parameters())
    assert 3e6 <= parameters <= 9e6


@pytest.mark.slow
def test_vit_b_from_its_stock_builder(tmp_path: Path) -> None:
    from segment_anything import build_sam_vit_b

    path = tmp_path / "vit_b.pth"
    original = build_sam_vit_b().state_dict()
    torch.save(original, path)
    loaded = load_sam(str(path))
    assert loaded.architecture == "vit_b"
    assert equal(checkpoints.load_state_dict(path), original)
    assert equal(sam.to_stock_layout(loaded.sam.state_dict()), original)
