"""DICOM and NIfTI: pixels, units and voxel sizes as the files tell them."""

from __future__ import annotations

import gzip
import sys

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.data.formats.nifti_files import write_nifti
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.image_source import open_image
from napari_samsp.predict import main as predict
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

STACK = np.arange(3 * 20 * 30, dtype=np.int16).reshape(3, 20, 30)


def write_dicom(path, pixels, **tags):
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    found.SOPInstanceUID = generate_uid()
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit, found.PixelRepresentation = 15, 0
    found.PixelSpacing = [0.7, 0.5]
    found.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(found, name, value)
    found.save_as(path, enforce_file_format=True)


def write_series(folder, pixels=STACK, uid="1.2.3", name="s{}.dcm"):
    """In an order that is not that of the names."""
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(pixels):
        write_dicom(
            folder / name.format(len(pixels) - z), plane, SeriesInstanceUID=uid,
            ImagePositionPatient=[0, 0, 2.5 * z],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            RescaleSlope=1, RescaleIntercept=-1000,
        )  # fmt: skip


def opened(path, **options):
    with open_image(path, **options) as image:
        return np.asarray(image.array), image.axes, image.voxels


def test_a_real_dicom_file():
    path = get_testdata_file("CT_small.dcm")
    header = pydicom.dcmread(path)
    array, axes, voxels = opened(pydicom.data.data_manager.Path(path))
    want = header.pixel_array * float(header.RescaleSlope)
    want = want + float(header.RescaleIntercept)
    assert axes == "YX"
    assert np.allclose(array, want)
    spacing = dict(zip("YX", map(float, header.PixelSpacing), strict=True))
    assert {axis: voxels.scale[axis] for axis in "YX"} == pytest.approx(spacing)
    assert voxels.units["X"] == "millimeter"


@pytest.mark.parametrize("name", ["a.dcm", "IM0001"])
def test_window_slope_and_white(tmp_path, name):
    path = tmp_path / name
    scale = {"RescaleSlope": 2, "RescaleIntercept": -100}
    window = {"WindowCenter": [500, 9], "WindowWidth": [400, 9]}
    units = STACK[0] * 2.0 - 100
    write_dicom(path, STACK[0], **scale)
    assert np.allclose(read_image(path), units)
    write_dicom(path, STACK[0], **scale, **window)
    assert np.allclose(read_image(path), units.clip(300, 700))
    white = {"PhotometricInterpretation": "MONOCHROME1"}
    write_dicom(path, STACK[0], **scale, **window, **white)
    assert np.allclose(read_image(path), 1000 - units.clip(300, 700))


def test_a_folder_of_slices_is_a_stack(tmp_path):
    folder = tmp_path / "in" / "scan.1"
    (tmp_path / "in").mkdir()
    write_series(folder)
    array, axes, voxels = opened(folder)
    assert axes == "ZYX"
    assert np.allclose(array, STACK - 1000.0)
    assert voxels.scale == pytest.approx({"Z": 2.5, "Y": 0.7, "X": 0.5})
    images = find_images([str(tmp_path / "in")], tmp_path / "out")
    assert images == {"scan.1": folder}
    assert find_images([str(folder)], tmp_path / "out") == images
    write_series(folder, STACK[:2] + 7, "1.2.4", name="t{}.dcm")
    with pytest.warns(FileNote, match="2 series: the one of 3 slices"):
        assert opened(folder)[0].shape == (3, 20, 30)
    assert np.allclose(opened(folder, series=1)[0], STACK[:2] - 993.0)
    with pytest.raises(InputError, match="images 0 to 1, not 2"):
        opened(folder, series=2)


def test_a_series_goes_through_predict(tmp_path, nuclei):
    """As one stack, whose labels know the voxels' size."""
    (tmp_path / "in").mkdir()
    stack = np.stack([np.roll(nuclei[0], 9 * z, 1) for z in range(3)]).astype(np.int16)
    write_series(tmp_path / "in" / "scan", stack)
    out = tmp_path / "out"
    predict([
        str(tmp_path / "in"), "--output", str(out), "--iterations", "1", "--objects",
    ])  # fmt: skip
    assert [path.name for path in out.glob("*.tif")] == ["scan.tif"]
    labels, axes, voxels = opened(out / "scan.tif")
    assert axes == "ZYX"
    assert labels.shape == stack.shape
    assert voxels.scale == pytest.approx({"Z": 2.5, "Y": 0.7, "X": 0.5})
    assert voxels.units == dict.fromkeys("ZYX", "millimeter")
    for z, plane in enumerate(labels):  # in the order of their positions
        bright, dark = plane > 0, stack[z] < np.median(stack[z])
        assert bright.any()
        assert (bright & dark).sum() < bright.sum() / 2
        back = np.roll(plane, -9 * z, 1) > 0
        assert np.mean(back == (labels[0] > 0)) > 0.85


def test_single_dicom_files_of_a_folder_are_images_of_their_own(tmp_path):
    for n in range(2):
        write_dicom(tmp_path / f"x{n}.dcm", STACK[n])
    assert list(find_images([str(tmp_path)], tmp_path / "out")) == ["x0", "x1"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "zipped.nii"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_nifti_volume_and_its_labels(tmp_path, name, kind):
    path, affine = tmp_path / name, np.diag([-0.5, 0.7, 2.5, 1])
    affine[:3, 3] = 4, 5, 6
    volume = kind(STACK.T, affine)
    volume.header.set_xyzt_units("mm", "sec")
    volume.to_filename(tmp_path / "made.nii")
    data = (tmp_path / "made.nii").read_bytes()
    path.write_bytes(data if name == "a.nii" else gzip.compress(data))
    array, axes, voxels = opened(path)
    assert axes == "ZYX"
    assert np.array_equal(array, STACK)
    assert voxels.scale == pytest.approx({"Z": 2.5, "Y": 0.7, "X": 0.5})
    assert voxels.units == dict.fromkeys("ZYX", "millimeter")
    labels = (STACK % 5).astype(np.int32)
    write_nifti(tmp_path / "labels.nii.gz", labels, "ZYX", path)
    back = nibabel.load(tmp_path / "labels.nii.gz")
    assert np.allclose(back.affine, affine)
    assert np.array_equal(np.asanyarray(back.dataobj), labels.T)
    assert back.get_data_dtype() == np.int32


def test_a_nifti_slice_with_a_slope_and_singleton_axes(tmp_path):
    volume = nibabel.Nifti1Image(STACK[:1].T, np.eye(4))
    volume.header.set_slope_inter(0.5, 3)
    volume.to_filename(tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz")
    assert np.allclose(read_image(tmp_path / "a.nii.gz"), stored.get_fdata()[..., 0].T)
    write_nifti(tmp_path / "b.nii.gz", STACK[0], "YX", tmp_path / "a.nii.gz")
    assert nibabel.load(tmp_path / "b.nii.gz").shape == (30, 20, 1)
    assert np.array_equal(read_labels(tmp_path / "b.nii.gz"), STACK[0])


@pytest.mark.parametrize("library", ["pydicom", "nibabel"])
def test_a_missing_library_says_how_to_get_it(tmp_path, monkeypatch, library):
    path = tmp_path / {"pydicom": "a.dcm", "nibabel": "a.nii.gz"}[library]
    if library == "pydicom":
        write_dicom(path, STACK[0])
    else:
        nibabel.Nifti1Image(STACK.T, np.eye(4)).to_filename(path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r'pip install "napari-samsp\[formats\]"'):
        opened(path)


def test_broken_files_get_a_sentence(tmp_path):
    write_dicom(tmp_path / "a.dcm", STACK[0])
    nibabel.Nifti1Image(STACK.T, np.eye(4)).to_filename(tmp_path / "a.nii")
    for name, left in (("a.dcm", 700), ("a.nii", 900)):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:left])
        for read in (opened, read_image):
            with pytest.raises(InputError, match=name):
                read(tmp_path / name)
