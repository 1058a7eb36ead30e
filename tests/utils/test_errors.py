"""Texts from files that reach a terminal."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from napari_samsp import evaluate, models
from napari_samsp.data.image_files import write_labels
from napari_samsp.sam import architecture as sam
from napari_samsp.train.events import Noted
from napari_samsp.train.terminal import Terminal
from napari_samsp.utils import cli
from napari_samsp.utils.errors import InputError, printable, some

ESCAPE = "\x1b]0;title\x07\x1b[2Jx"


@pytest.mark.parametrize(
    "text", ["ein Bild ä.tif", "細胞\u3000一", "a\xa0b", "a\nb", "µm ± 2 → 3"]
)
def test_what_can_be_printed_stays(text):
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("\x1b[31m\x07\r\x9b") == r"\x1b[31m\x07\r\x9b"
    assert printable("a\u202etxt") == r"a\u202etxt"
    assert printable("a\udcff.tif") == r"a\udcff.tif"
    assert some([ESCAPE, "b"]) == r"\x1b]0;title\x07\x1b[2Jx, b"


def test_errors_of_commands(capsys):
    def fail(_):
        raise InputError(f"No {ESCAPE}\n.")

    with pytest.raises(SystemExit):
        cli.run(fail)
    assert "\x1b" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        models.main(["info", "a", ESCAPE])
    assert "\x1b" not in capsys.readouterr().err


def test_names_of_tensors(tmp_path, monkeypatch, capsys):
    mini = sam.Architecture(
        64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64
    )
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", mini)
    state = {f"sam.{k}": v for k, v in sam.build_sam(mini).state_dict().items()}
    save_file(state | {ESCAPE: torch.ones(2)}, tmp_path / "a.safetensors")
    assert not models.main(["info", str(tmp_path / "a.safetensors")])
    said = capsys.readouterr().out
    assert r"\x1b]0;title" in said
    assert "\x1b" not in said


def test_names_of_files(tmp_path, capsys, nuclei):
    for folder in ("predictions", "masks"):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "\x1b[2Jx.tif", nuclei[1])
    target = tmp_path / "figures.json"
    folders = [str(tmp_path / "predictions"), str(tmp_path / "masks")]
    assert not evaluate.main([*folders, "--json", str(target)])
    assert "\x1b" not in capsys.readouterr().out
    assert json.loads(target.read_text())["worst"] == ["\x1b[2Jx"]


def test_notes_of_the_trainer(capsys):
    with Terminal() as report:
        report(Noted(f"[bold]{ESCAPE}"))
    said = capsys.readouterr().err
    assert r"[bold]\x1b]0;title" in said
    assert "\x1b" not in said
