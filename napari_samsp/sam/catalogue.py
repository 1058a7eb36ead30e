"""The models that have a name: whose they are, where they are, and what for.

Needs no torch. `napari_samsp.sam.registry` brings them onto the disk.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A model that is known by name.

    Attributes
    ----------
    name : str
        What a user calls it.
    architecture : str
        A key of ``napari_samsp.sam.architecture.ARCHITECTURES``.
    file : str
        Its file's name on this computer.
    url : str
        Where its publisher keeps that; empty for a bundled one.
    published_hash : str
        Of the file, as ``algorithm:digits`` and as its publisher gives it; empty for
        a bundled one, which the installed package vouches for.
    size_bytes : int
        Of the file, to about a tenth; 0 for a bundled one, which is there to be
        asked.
    licence, description : str
        Sentences for the user.
    """

    name: str
    architecture: str
    file: str
    url: str
    published_hash: str
    size_bytes: int
    licence: str
    description: str

    @property
    def bundled(self) -> bool:
        """Whether it came with the package."""
        return not self.url

    @property
    def sha256(self) -> str:
        """The published SHA-256; empty if another hash is published, or none."""
        algorithm, _, digits = self.published_hash.partition(":")
        return digits if algorithm == "sha256" else ""

    @property
    def hash_in_words(self) -> str:
        """The published hash for a person, such as ``SHA-256 ec2d...``."""
        algorithm, _, digits = self.published_hash.partition(":")
        return f"{algorithm.upper().replace('SHA', 'SHA-')} {digits}"


_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_EBI = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io/"
_GWDG = "https://owncloud.gwdg.de/index.php/s/"
_SIZES = {
    "vit_t": 40_728_226,
    "vit_b": 375_042_383,
    "vit_l": 1_249_524_607,
    "vit_h": 2_564_550_879,
}
"""Bytes of a file with all tensors of an architecture; others' differ by little."""
_DECODER_BYTES = 41_000_000
"""Size of a distance decoder: between 38 and 44 million, depending on its kind of
upsampling."""
DECODER = "_decoder"
"""Suffix of the name of a model's distance decoder, and of its file."""
_NOT_STATED = "not stated by its publisher: ask micro-sam's authors before you publish"


def _by_meta(size: str, file: str, sha256: str, what: str) -> Model:
    name = f"vit_{size}"
    return Model(
        name, name, file, _META + file, f"sha256:{sha256}", _SIZES[name],
        "Apache-2.0", f"Segment Anything by Meta: {what}",
    )  # fmt: skip


def _by_micro_sam(
    name: str, place: str, xxh128: str, what: str, licence: str = "CC-BY-4.0"
) -> Model:
    architecture = name[:5]
    return Model(
        name, architecture, f"{name}.pt", place, f"xxh128:{xxh128}",
        _SIZES[architecture], licence, f"micro-sam: {what}",
    )  # fmt: skip


def _decoder(name: str, place: str, xxh128: str) -> Model:
    """The distance decoder that micro-sam publishes beside one of its models."""
    (model,) = (one for one in MODELS if one.name == name)
    return Model(
        f"{name}{DECODER}", "", f"{name}{DECODER}.pt", place, f"xxh128:{xxh128}",
        _DECODER_BYTES, model.licence, f"micro-sam: distance decoder of {name}",
    )  # fmt: skip


_LM = "cells and nuclei in light microscopy"
_EM = "organelles in electron microscopy"
_HE = "nuclei in H&E-stained tissue (PathoSAM)"

# Meta's SHA-256 and the XXH128 of micro-sam's files are those of micro-sam's own
# registry of models (1.8.14), and MedSAM's MD5 is that of its record at Zenodo.
# MobileSAM and TinySAM publish none: ten other programs' lists agree on the one, and
# the other is in one list.
MODELS = (
    Model(
        "samsp_small",
        "samsp_small",
        "samsp_small.safetensors",
        "",
        "",
        0,
        "BSD-3-Clause",
        "small SAM for all kinds of images; comes with napari-samsp, needs no network",
    ),
    Model(
        "vit_t",
        "vit_t",
        "mobile_sam.pt",
        "https://github.com/ChaoningZhang/MobileSAM/raw/"
        "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
        "sha256:6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        _SIZES["vit_t"],
        "Apache-2.0",
        "MobileSAM: everyday images, small and quick; for a laptop",
    ),
    _by_micro_sam(
        "vit_t_lm",
        f"{_EBI}faithful-chicken/1.1/files/vit_t.pt",
        "72ec5074774761a6e5c05a08942f981e",
        f"{_LM}; for a laptop",
    ),
    _by_micro_sam(
        "vit_t_em_organelles",
        f"{_EBI}greedy-whale/1/files/vit_t.pt",
        "253474720c497cce605e57c9b1d18fd9",
        f"{_EM}; for a laptop",
    ),
    Model(
        "tinysam",
        "vit_t",
        "tinysam.pth",
        "https://huggingface.co/xinghaochen/tinysam/resolve/main/tinysam.pth",
        "sha256:4b8edcf93af46e2a658ae455574de62873778a5cc3fd8e8adf094dcdfa957cf2",
        _SIZES["vit_t"],
        "Apache-2.0",
        "TinySAM: MobileSAM's network with other weights; for a laptop",
    ),
    _by_meta(
        "b",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "everyday images, base size",
    ),
    _by_meta(
        "l",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "everyday images, large; for a GPU",
    ),
    _by_meta(
        "h",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "everyday images, huge; for a GPU",
    ),
    _by_micro_sam(
        "vit_b_lm",
        f"{_EBI}diplomatic-bug/1.2/files/vit_b.pt",
        "fe9252a29f3f4ea53c15a06de471e186",
        _LM,
    ),
    _by_micro_sam(
        "vit_l_lm",
        f"{_EBI}idealistic-rat/1.2/files/vit_l.pt",
        "017f20677997d628426dec80a8018f9d",
        f"{_LM}; for a GPU",
    ),
    _by_micro_sam(
        "vit_b_em_organelles",
        f"{_EBI}noisy-ox/1.2/files/vit_b.pt",
        "f3bf2ed83d691456bae2c3f9a05fb438",
        _EM,
    ),
    _by_micro_sam(
        "vit_l_em_organelles",
        f"{_EBI}humorous-crab/1.2/files/vit_l.pt",
        "810b084b6e51acdbf760a993d8619f2d",
        f"{_EM}; for a GPU",
    ),
    _by_micro_sam(
        "vit_b_histopathology",
        f"{_GWDG}sBB4H8CTmIoBZsQ/download",
        "ffd1a2cd84570458b257bd95fdd8f974",
        _HE,
        _NOT_STATED,
    ),
    _by_micro_sam(
        "vit_l_histopathology",
        f"{_GWDG}IZgnn1cpBq2PHod/download",
        "b591833c89754271023e901281dee3f2",
        f"{_HE}; for a GPU",
        _NOT_STATED,
    ),
    _by_micro_sam(
        "vit_h_histopathology",
        f"{_GWDG}L7AcvVz7DoWJ2RZ/download",
        "bd1856dafc156a43fb3aa705f1a6e92e",
        f"{_HE}; for a GPU",
        _NOT_STATED,
    ),
    _by_micro_sam(
        "vit_b_medical_imaging",
        f"{_GWDG}f5Ol4FrjPQWfjUF/download",
        "40169f1e3c03a4b67bff58249c176d92",
        "medical images such as CT, MRI and endoscopy",
        _NOT_STATED,
    ),
    Model(
        "medsam_vit_b",
        "vit_b",
        "medsam_vit_b.pth",
        "https://zenodo.org/records/10689643/files/medsam_vit_b.pth?download=1",
        "md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        375_000_000,
        "CC-BY-4.0",
        "MedSAM: medical images such as CT, MRI and endoscopy",
    ),
)
"""The default first, then small ones, then the rest by whose they are."""

DECODERS = (
    _decoder(
        "vit_t_lm",
        f"{_EBI}faithful-chicken/1.1/files/vit_t_decoder.pt",
        "3e914a5f397b0312cdd36813031f8823",
    ),
    _decoder(
        "vit_b_lm",
        f"{_EBI}diplomatic-bug/1.2/files/vit_b_decoder.pt",
        "708b15ac620e235f90bb38612c4929ba",
    ),
    _decoder(
        "vit_l_lm",
        f"{_EBI}idealistic-rat/1.2/files/vit_l_decoder.pt",
        "2faeafa03819dfe03e7c46a44aaac64a",
    ),
    _decoder(
        "vit_t_em_organelles",
        f"{_EBI}greedy-whale/1/files/vit_t_decoder.pt",
        "8f897c7bb93174a4d1638827c4dd6f44",
    ),
    _decoder(
        "vit_b_em_organelles",
        f"{_EBI}noisy-ox/1.2/files/vit_b_decoder.pt",
        "bb6398956a6b0132c26b631c14f95ce2",
    ),
    _decoder(
        "vit_l_em_organelles",
        f"{_EBI}humorous-crab/1.2/files/vit_l_decoder.pt",
        "334877640bfdaaabce533e3252a17294",
    ),
    _decoder(
        "vit_b_histopathology",
        f"{_GWDG}KO9AWqynI7SFOBj/download",
        "6a66194dcb6e36199cbee2214ecf7213",
    ),
    _decoder(
        "vit_l_histopathology",
        f"{_GWDG}oIs6VSmkOp7XrKF/download",
        "46aab7765d4400e039772d5a50b55c04",
    ),
    _decoder(
        "vit_h_histopathology",
        f"{_GWDG}1qAKxy5H0jgwZvM/download",
        "3ed9f87e46ad5e16935bd8d722c8dc47",
    ),
    _decoder(
        "vit_b_medical_imaging",
        f"{_GWDG}ahd3ZhZl2e0RIwz/download",
        "9e498b12f526f119b96c88be76e3b2ed",
    ),
)
"""The distance decoders of micro-sam's models, see
`napari_samsp.sam.networks.distance_decoder`."""
