"""The sets that ``samsp_small`` is pretrained on, and what their labels can teach.

What a mask is without a prompt differs from set to set: where foreground is one thing
that a person would outline unasked, the model learns it; where labels are classes of
everything, lines of a text or some of many objects, they teach prompts only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from real_images import Pair, test_pairs, training_pairs

HELD_OUT = 0.12
"""Of a set's images, the last by name, which are never trained on; two at least."""


@dataclass(frozen=True)
class Domain:
    """One set of images.

    Attributes
    ----------
    share : float
        How often it is drawn, beside 1 for most.
    unprompted : bool
        Whether its foreground is what a person would outline unasked.
    instances : bool
        Whether labels are objects of which those that touch are apart.
    closest : int or None
        Many small objects: crops go down to this side in pixels. Else half the image.
    source : str
        A pattern whose match in a file's name tells the source image or recording;
        images of one source are held out together.
    """

    share: float = 1.0
    unprompted: bool = True
    instances: bool = False
    closest: int | None = None
    source: str = r".*"


DOMAINS = {
    "aluminium_defects": Domain(0.7),
    "alzn_tomography": Domain(0.7, source=r"c\d+"),
    "axon_sem": Domain(source=r".*(?=_\d+$)"),
    "blood_smear": Domain(closest=128, source=r"[^_]+"),
    "bottles_table": Domain(instances=True),
    "brain_mri_brisc": Domain(),
    "car_damage": Domain(0.5),
    "carotid_ultrasound": Domain(0.7, source=r"[^_]+"),
    "cats_feral": Domain(instances=True),
    "chloroplast_em": Domain(0.7, instances=True, closest=160, source=r"[^_]+"),
    "clothing_ccp": Domain(1.5),
    "coco_ccby": Domain(2.0, unprompted=False),
    "concrete_damage": Domain(),
    "davis2016_val": Domain(2.0, source=r".*(?=_)"),
    "dsb2018": Domain(5.0, instances=True, closest=110),
    "emps": Domain(2.5, instances=True, closest=128),
    "facade_photos": Domain(unprompted=False),
    "forest_satellite": Domain(0.5),
    "fruits_nuts": Domain(instances=True),
    "glomeruli_pas": Domain(),
    "handwriting_registers": Domain(0.5, unprompted=False, closest=160),
    "head_ct_hemorrhage": Domain(0.7),
    "heart_mri_hvsmr": Domain(source=r"[^_]+"),
    "landslide_satellite": Domain(0.7),
    "manuscript_lines": Domain(0.5, unprompted=False, closest=160, source=r".{12}"),
    "nasa_ebc": Domain(),
    "nasa_instances": Domain(1.5, instances=True),
    "nasa_superalloy": Domain(),
    "nerve_ultrasound": Domain(),
    "newts": Domain(0.7),
    "nuclei_he_oesophagus": Domain(closest=110, source=r"\d+$"),
    "nuclei_he_tnbc": Domain(closest=110, source=r"\d+$"),
    "octa_faz": Domain(),
    "prostate_glands_he": Domain(),
    "pyimsegm_bio": Domain(),
    "road_aerial": Domain(),
    "sandstone_ct": Domain(0.5, unprompted=False, source=r"[^_]+"),
    "seismic_f3": Domain(0.3, unprompted=False),
    "solar_panels_aerial": Domain(source=r"\d+$"),
    "spine_mri": Domain(instances=True, closest=160, source=r"[^_]+"),
    "tree_limbs": Domain(source=r"[a-z]+\d+"),
    "typescript_lines": Domain(0.5, unprompted=False, closest=160),
    "uhcs_steel": Domain(0.7, unprompted=False),
    "usiigaci_phase": Domain(1.5, instances=True, closest=128, source=r"[^_]+"),
}
NEVER = (
    "chase_db1",
    "gpr_tunnel",
    "isic2017",
    "pfc_neurons",
    "potholes",
    "sediment_grains",
)
"""By these unseen domains are measured; of the first the licence is not sure."""


def split(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """The pairs of a set to train on, and those held out.

    Parameters
    ----------
    folder : Path
        Named as a key of `DOMAINS`.

    Returns
    -------
    tuple of list of Pair
        They share no source image. A set with a test split of its own holds out that.
    """
    pairs = training_pairs(folder)
    if tests := test_pairs(folder):
        return pairs, tests
    pattern = re.compile(DOMAINS[folder.name].source)
    sources: dict[str, list[Pair]] = {}
    for pair in pairs:
        found = pattern.search(pair.stem)
        sources.setdefault(found[0] if found else pair.stem, []).append(pair)
    wanted = max(2, round(HELD_OUT * len(pairs)))
    held_out: list[Pair] = []
    for source in sorted(sources, reverse=True):
        if len(held_out) < wanted and len(sources[source]) < len(pairs) / 2:
            held_out += sources[source]
    kept = {pair.stem for pair in held_out}
    return [pair for pair in pairs if pair.stem not in kept], held_out
