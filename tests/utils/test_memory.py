"""Where memory is short, work goes in smaller parts and the user is told."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_samsp.data.tiling import Tile
from napari_samsp.inference.embedding_cache import EmbeddingCache
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.inference.tile_encoder import TileEncoder
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils import cli
from napari_samsp.utils.errors import InputError, is_out_of_memory
from napari_samsp.utils.memory import in_batches


@pytest.fixture
def segmenter():
    return Segmenter(device="cpu", cache=EmbeddingCache(disk_bytes=0, memory_bytes=0))


def limit(module, most):
    """A device on which ``module`` has memory for a batch of ``most`` only."""
    met = []

    def before(_module, args):
        met.append(len(args[0]))
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    module.register_forward_pre_hook(before)
    return met


def test_smaller_batches_of_tiles_give_the_same(segmenter, nuclei):
    image = np.tile(nuclei[0], (2, 2))
    expected = segmenter.segment(image, 2, tile=100)[-1].logits
    met = limit(segmenter.sam.image_encoder.blocks[1], 2)
    with pytest.warns(RuntimeWarning) as told:
        got = segmenter.segment(image, 2, tile=100)[-1].logits
    assert "tiles in the image encoder go 2 at a time" in str(told[-1].message)
    np.testing.assert_allclose(got, expected, atol=1e-3)
    # What was learnt is kept: only the first batch fails, and its half.
    assert sum(size > 2 for size in met) == 2


def test_smaller_batches_of_prompts_give_the_same(segmenter, nuclei):
    expected = segmenter.segment(nuclei[0], 3, objects=True, tile="off")[-1]
    met = []

    def before(_module, _args, kwargs):
        given = [value for value in kwargs.values() if value is not None]
        met.append(
            max((len(value) for value in given if torch.is_tensor(value)), default=1)
        )
        if met[-1] > 1:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't "
                "allocate memory: you tried to allocate 12884901888 bytes."
            )

    segmenter.sam.prompt_encoder.register_forward_pre_hook(before, with_kwargs=True)
    with pytest.warns(RuntimeWarning) as told:
        got = segmenter.segment(nuclei[0], 3, objects=True, tile="off")[-1]
    assert "prompts go 1 at a time" in str(told[-1].message)
    assert max(met) > 1
    assert np.mean(got.labels != expected.labels) < 1e-3
    # What was learnt lasts: nothing fails again, and nobody is warned again.
    met.clear()
    segmenter.segment(nuclei[0][::-1], 3, objects=True, tile="off")
    assert max(met) == 1


@pytest.fixture
def stock_encoder(nuclei):
    """Of a small SAM with stock's image encoder."""
    torch.manual_seed(0)
    small = Architecture(128, 16, 48, 2, 3, (1,), 4, prompt_dim=32, decoder_mlp_dim=64)
    picture = nuclei[0][..., None].repeat(3, -1)
    return TileEncoder(SelfPrompting(build_sam(small)).eval(), picture)


def test_one_alone_goes_in_pieces(stock_encoder, nuclei):
    """The plain attention wants too much; the chunked one does not call it."""
    whole, other = Tile(0, 96, 0, 160), Tile(0, 90, 0, 160)
    with torch.inference_mode():
        expected, _ = stock_encoder([whole])
        stock_encoder([other])  # it keeps the last
        limit(stock_encoder.model.sam.image_encoder.blocks[0].attn, 0)
        with pytest.warns(RuntimeWarning, match="in pieces"):
            got, _ = stock_encoder([whole])
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_where_nothing_helps_it_says_what_to_do(segmenter, stock_encoder, nuclei):
    limit(stock_encoder.model.sam.image_encoder.patch_embed, 0)
    with (
        pytest.warns(RuntimeWarning, match="in pieces"),
        pytest.raises(InputError, match="choose a smaller input size"),
    ):
        stock_encoder([Tile(0, 96, 0, 160)])
    # The bundled model's encoder has no pieces.
    limit(segmenter.sam.image_encoder.trunk, 0)
    with pytest.raises(InputError, match="choose a smaller input size"):
        segmenter.segment(nuclei[0], 1, tile="off")


def test_every_allocator_s_failure_is_known_and_no_other():
    with pytest.raises((RuntimeError, MemoryError)) as failure:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(failure.value)
    with pytest.raises(MemoryError) as failure:
        np.empty(2**60, np.uint8)
    assert is_out_of_memory(failure.value)
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated)"))
    for said in (
        "could not create a primitive",
        "could not execute a primitive",
        "std::bad_alloc",
        "unable to mmap 9 bytes from file <a.pth>: Cannot allocate memory (12)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ):
        assert is_out_of_memory(RuntimeError(said)), said
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    # Of a shape that the library does not know: less of it is no help.
    assert not is_out_of_memory(
        RuntimeError("could not create a primitive descriptor for a convolution")
    )
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 have no common side"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_other_errors_are_not_hidden():
    def work(_some):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(work, 4, 2, "tiles")


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_every_part_is_worked_on_once(count):
    every = list(range(count))
    parts, batch_size = in_batches(every.__getitem__, count, 3, "tiles")
    assert [n for part in parts for n in part] == list(range(count))
    assert batch_size == 3


STREWN = """
import numpy as np, psutil
from napari_samsp.utils.memory import freed_memory_given_back

def held(given_back):
    with freed_memory_given_back(given_back):
        np.ones(12 * 2**20, np.uint8)  # from which glibc learns what is usual
        blocks = [np.ones(8 * 2**20, np.uint8) for _ in range(80)]
        del blocks[:-1]
        return psutil.Process().memory_info().rss

kept = held(False)
print((kept - held(True)) // 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_is_freed_between_blocks_in_use_goes_back_to_the_system():
    """In a process of its own: what else was allocated decides what can go back."""
    # dask.distributed leaves settings of its own for the allocator.
    usual = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", STREWN],
        capture_output=True, text=True, check=True, env=usual,
    )  # fmt: skip
    assert int(done.stdout) > 400


SHORT = """
import resource, sys
import numpy as np, psutil, tifffile, torch
from pathlib import Path
from napari_samsp.sam.checkpoints import load_state_dict
from napari_samsp.utils.errors import InputError
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.image_source import open_image

def opened(path):
    with open_image(path):
        pass

folder = Path(sys.argv[1])
image, model = folder / "a.tif", folder / "a.pth"
tifffile.imwrite(image, np.zeros((6000, 8000), np.uint8), compression="zlib")
tifffile.imwrite(folder / "b.tif", np.zeros((60, 80), np.uint8), compression="zlib")
read_labels(folder / "b.tif")  # what is imported for it is there
torch.save({"image_encoder.pos_embed": torch.zeros(8000, 6000)}, model)
here = psutil.Process().memory_info().vms
for read, path, room in (
    (read_image, image, 30), (opened, image, 30), (read_labels, image, 120),
    (load_state_dict, model, 30),
):
    resource.setrlimit(resource.RLIMIT_AS, (here + room * 2**20, -1))
    try:
        read(path)
        said = "nothing"
    except InputError as error:
        said = str(error)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    print(read.__name__, said)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit as Linux keeps it")
def test_reading_in_too_little_memory_ends_with_a_sentence(tmp_path):
    """In a process of its own, whose address space is limited."""
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line in lines[:3]:
        assert "does not fit into memory" in line
    assert "Memory does not suffice to read" in lines[3]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("out of memory"), OSError(errno.ENOMEM, "no")]
)
def test_commands_end_with_a_sentence(error, capsys):
    def fail(_):
        raise error

    with pytest.raises(SystemExit) as ending:
        cli.run(fail)
    assert ending.value.code == 2
    said = capsys.readouterr().err
    assert "emory does not suffice" in said
    assert said.count("\n") == 1
