"""The class of each object of a Labels layer, in the column ``class`` of its features.

Where each slice counts its objects by itself, one label is several objects: features
are then those of one slice, and a page a slice holds the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_samsp.data.tables.object_table import CLASS
from napari_samsp.ui.widgets.layer_features import put_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari.layers import Labels

    from napari_samsp.data.plane_view import PlaneIndex

Pages = dict["PlaneIndex | None", dict[int, str]]
"""Names of classes by slice (None: a label is one object in all) and label."""


@dataclass
class _Book:
    shown: PlaneIndex | None = None
    stored: Pages = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)


_books: WeakKeyDictionary[Labels, _Book] = WeakKeyDictionary()


def classes_of(layer: Labels) -> dict[int, str]:
    """Names of the classes by label, as the features tell.

    Parameters
    ----------
    layer : Labels
        Any; a person or another plugin may have written its features.
    """
    features = layer.features
    if CLASS not in features:
        return {}
    numbers = features["index"] if "index" in features else range(len(features))
    return {
        int(number): name
        for number, name in zip(numbers, features[CLASS], strict=True)
        if isinstance(name, str) and name
    }


def set_classes(layer: Labels, classes: Mapping[int, str]) -> None:
    """Say the class of each object that the features tell of.

    Parameters
    ----------
    layer : Labels
        Other columns of its features stay.
    classes : mapping
        Names by label, of all that have one.
    """
    import pandas as pd

    found = pd.DataFrame({"index": [*classes], CLASS: [*classes.values()]})
    put_columns(layer, found.astype({"index": int, CLASS: object}), {CLASS})


def note_classes(
    layer: Labels, page: PlaneIndex | None, classes: Mapping[int, str]
) -> bool:
    """Say the class of each object of a slice, whether it is shown or not.

    Returns
    -------
    bool
        Whether the features are of this slice.
    """
    book = _books.setdefault(layer, _Book(page))
    if book.shown == page:
        set_classes(layer, classes)
        return True
    book.stored[page] = dict(classes)
    return False


def tell_classes(
    layer: Labels, page: PlaneIndex | None, classes: Mapping[int, str]
) -> bool:
    """As `note_classes`, by a model, which goes on from slice to slice.

    Where a label is one object in all slices, those that it does not tell of keep their
    classes, and so do those that a person gave another one meanwhile.
    """
    if page is not None:
        return note_classes(layer, page, classes)
    book = _books.setdefault(layer, _Book(page))
    known = classes_of(layer)
    given = {n: name for n, name in known.items() if book.told.get(n) != name}
    book.told = book.told | dict(classes)
    return note_classes(layer, page, known | dict(classes) | given)


def follow_class(layer: Labels, label: int, pages: Sequence[PlaneIndex]) -> bool:
    """Give an object in several slices the class that it has in the first of them.

    Returns
    -------
    bool
        Whether it has one there.
    """
    known = dict(pages_of(layer))
    name = known.get(pages[0], {}).get(label)
    if name is None:
        return False
    for page in pages:
        note_classes(layer, page, known.get(page, {}) | {label: name})
    return True


def turn_to(layer: Labels, page: PlaneIndex | None) -> bool:
    """Let the features tell of another slice.

    Returns
    -------
    bool
        Whether they told of another one before.
    """
    book = _books.setdefault(layer, _Book(page))
    if book.shown == page:
        return False
    book.stored[book.shown] = classes_of(layer)
    book.shown = page
    set_classes(layer, book.stored.pop(page, {}))
    return True


def pages_of(layer: Labels) -> Iterator[tuple[PlaneIndex | None, dict[int, str]]]:
    """Each slice that has classes, and them by label."""
    book = _books.get(layer, _Book())
    yield book.shown, classes_of(layer)
    yield from book.stored.items()


def object_pages(layer: Labels) -> Pages:
    """As `pages_of`, of slices with classes; empty if labels are no objects of ours."""
    if layer not in _books:
        return {}
    return {page: classes for page, classes in pages_of(layer) if classes}


def area_classes(layer: Labels) -> dict[int, str]:
    """Names of the classes that a layer's labels are; empty if they are objects."""
    return {} if layer in _books else classes_of(layer)


def put_pages(layer: Labels, pages: Mapping[PlaneIndex | None, dict[int, str]]) -> None:
    """Say the classes of the objects of all slices; those that were told go."""
    if not pages and layer not in _books:
        return
    for page in [page for page, _ in pages_of(layer)]:
        note_classes(layer, page, {})
    for page, classes in pages.items():
        note_classes(layer, page, classes)


def take_over_classes(old: Labels, new: Labels) -> None:
    """Let a layer know of its objects what another one knows of the same objects."""
    _books.pop(old, None)
    old.features = new.features
    if new in _books:
        _books[old] = _books.pop(new)


def rename_class(layer: Labels, before: str, after: str) -> None:
    """Call a class of a layer's objects by another name."""
    for page, classes in [*pages_of(layer)]:
        if before in classes.values():
            renamed = {k: after if v == before else v for k, v in classes.items()}
            note_classes(layer, page, renamed)
