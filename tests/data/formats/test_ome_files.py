"""OME-TIFFs of several files."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_samsp.data.formats.ome_files import without_parts
from napari_samsp.data.image_files import read_image
from napari_samsp.data.image_source import open_image
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

OWN, OTHER = "urn:uuid:own", "urn:uuid:other"
SECRET = np.full((40, 56), 77, np.uint8)


def write(place, name, uuid=OWN):
    """Two planes, of which the XML says that the second is in another file."""
    parts = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstZ="{z}">'
        f'<UUID FileName="{file}">{code}</UUID></TiffData>'
        for z, (file, code) in enumerate([(name, OWN), (name, OTHER)])
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME UUID="'
        f'{uuid}" xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint8" SizeX="56" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
    )
    place.parent.mkdir(exist_ok=True)
    pixels = np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)
    tifffile.imwrite(place, pixels, description=xml, metadata=None)
    return place


def planes(path):
    with open_image(path) as image:
        return np.asarray(image.array)


@pytest.mark.parametrize(
    "name", ["../other.tif", "{root}/other.tif", "a/../../other.tif", r"..\other.tif"]
)
@pytest.mark.parametrize("read", [read_image, planes])
def test_no_file_elsewhere_is_read(tmp_path, name, read):
    tifffile.imwrite(tmp_path / "other.tif", SECRET)
    name = name.format(root=tmp_path)
    path = write(tmp_path / "given" / "x.ome.tif", name)
    with pytest.raises(InputError, match="not in its own folder"):
        read(path)


def test_a_file_beside_it_is_read(tmp_path):
    path = write(tmp_path / "given" / "x.ome.tif", "other.tif")
    tifffile.imwrite(path.with_name("other.tif"), SECRET)
    assert np.array_equal(planes(path)[1], SECRET)


def test_where_the_file_itself_was_before_does_not_matter(tmp_path):
    place = tmp_path / "given" / "x.ome.tif"
    path = write(place, "D:/microscope/x.ome.tif", uuid=OWN)
    content = path.read_bytes().replace(OTHER.encode(), OWN.encode() + b"  ")
    path.write_bytes(content.replace(b"own  </UUID>", b"own</UUID>  "))
    assert planes(path).shape == (2, 40, 56)


def write_set(folder, full=(True, True, True)):
    """Three planes in three files; what is not full leaves the XML to the first."""
    names = [f"p{z}.ome.tif" for z in range(3)]
    space = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    parts = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstZ="{z}"><UUID FileName="{name}">'
        f"urn:uuid:{z}</UUID></TiffData>"
        for z, name in enumerate(names)
    )
    folder.mkdir(exist_ok=True)
    whole = names[full.index(True)]
    for z, name in enumerate(names):
        inside = (
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint8" SizeX="56" SizeY="40" SizeZ="3" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{parts}</Pixels></Image>'
            if full[z]
            else f'<BinaryOnly MetadataFile="{whole}" UUID="urn:uuid:x"/>'
        )
        xml = f'<?xml version="1.0"?><OME UUID="urn:uuid:{z}" {space}>{inside}</OME>'
        pixels = np.full((40, 56), z, np.uint8)
        tifffile.imwrite(folder / name, pixels, description=xml, metadata=None)
    return [folder / name for name in names]


@pytest.mark.parametrize("full", [(1, 1, 1), (1, 0, 0), (0, 0, 1)])
def test_a_set_is_one_image(tmp_path, full):
    paths = write_set(tmp_path / "set", [bool(n) for n in full])
    other = write(tmp_path / "set" / "alone.ome.tif", "alone.ome.tif")
    plain = tmp_path / "set" / "plain.tif"
    tifffile.imwrite(plain, SECRET)
    (tmp_path / "set" / "broken.tif").write_bytes(b"II*\0broken")
    everything = [*paths, other, plain, tmp_path / "set" / "broken.tif"]
    first = paths[full.index(1)]
    with pytest.warns(FileNote, match=rf"p\d.ome.tif, p\d.ome.tif and {first} are one"):
        kept = without_parts(everything)
    assert kept == [first, *everything[3:]]
    assert planes(first).shape == (3, 40, 56)
