"""A sample as it was, so that what replaced it can be undone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_samsp.data.training_sets.sample_list import changed_list
from napari_samsp.data.training_sets.training_set import LIST
from napari_samsp.data.training_sets.transactions import changing, unchanging
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.data.training_sets.training_set import TrainingSet


@dataclass(frozen=True)
class Version:
    """What the files of a sample held.

    Attributes
    ----------
    name : str
        Name of the sample.
    files : dict of str to bytes
        By place in the set, such as ``masks/NAME.tif``.
    unchanged : tuple of str
        Places of files whose content is still that on disk, and not held here.
    info : dict
        Its line of ``samples.jsonl``.
    """

    name: str
    files: dict[str, bytes]
    info: dict[str, Any]
    unchanged: tuple[str, ...] = ()

    def beside(self, newer: Sample) -> Version:
        """The same, without an image that the newer one has too.

        Parameters
        ----------
        newer : Sample
            What took its place.
        """
        hashes = self.info.get("hash"), newer.info.get("hash")
        place = f"images/{newer.image.name}"
        if place not in self.files or hashes[0] is None or hashes[0] != hashes[1]:
            return self
        files = {k: v for k, v in self.files.items() if k != place}
        return replace(self, files=files, unchanged=(*self.unchanged, place))


def version_of(
    training_set: TrainingSet, name: str, image_stays: bool = False
) -> Version:
    """Read a sample's files as they are.

    Parameters
    ----------
    training_set : TrainingSet
        The set to read and write.
    name : str
        Name of the sample.
    image_stays : bool
        Its image is about to be replaced by the same pixels, and need not be read.

    Raises
    ------
    InputError
        If there is none.
    OSError
        If a file cannot be read.
    """
    with unchanging(training_set.folder):
        sample = training_set.sample(name)
        places = {_place(path): path for path in sample.files.values()}
        unchanged: tuple[str, ...] = ()
        # One of another kind, made by hand, moves aside and has to come back.
        if image_stays and sample.image.suffix == ".tif":
            unchanged = (_place(sample.image),)
        files = {
            place: path.read_bytes()
            for place, path in places.items()
            if place not in unchanged
        }
    return Version(name, files, sample.info, unchanged)


def bring_back(training_set: TrainingSet, version: Version) -> Sample:
    """Put an earlier version in the place of the one that replaced it.

    Parameters
    ----------
    training_set : TrainingSet
        The set to read and write.
    version : Version
        From `version_of`. Files that it did not have move to ``removed/``.

    Returns
    -------
    Sample
        The sample as it was.

    Raises
    ------
    InputError
        If the sample is gone, or another program does not let go of the folder.
    OSError
        If the folder cannot be written; the set is as before.
    """
    folder, name = training_set.folder, version.name
    with changing(folder) as change:
        now = training_set.sample(name)
        places = {_place(path): path for path in now.files.values()}
        if not set(version.unchanged) <= places.keys():
            raise InputError(f"The image of {name} was replaced: nothing is undone.")
        kept = {*version.files, *version.unchanged}
        others = [path for place, path in places.items() if place not in kept]
        training_set.set_aside(name, others, change)
        for place, content in version.files.items():
            change.write(place, content)
        line = version.info | {"name": name} if version.info else None
        change.write(LIST, changed_list(folder / LIST, {name: line}))
    return training_set.sample(name)


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
