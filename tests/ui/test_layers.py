"""Every kind of image layer, through the widget."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray
import zarr

from napari_samsp.inference.segmenter import Segmenter

TURNED = np.eye(3)
TURNED[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]


def _rgb(image):
    return np.stack([image, image[:, ::-1], 255 - image], axis=-1)


def _rgba(image):
    return np.dstack([_rgb(image), np.full_like(image, 255)])


def _stack(image):
    return np.stack([image[::-1], image // 2, image])


LAYERS = {
    "uint8": lambda im: (im, {}),
    "uint16": lambda im: (im.astype(np.uint16) * 200, {}),
    "int16": lambda im: (im.astype(np.int16) * 100 - 9000, {}),
    "int64": lambda im: (im.astype(np.int64) * 10**9, {}),
    "float16": lambda im: (im.astype(np.float16) / 7, {}),
    "float32": lambda im: (im.astype(np.float32) / 255, {}),
    "float64": lambda im: (im.astype(np.float64) * -1e6, {}),
    "bool": lambda im: (im > 100, {}),
    "fortran": lambda im: (np.asfortranarray(im), {}),
    "read-only": lambda im: (np.broadcast_to(im, im.shape), {}),
    "dask": lambda im: (da.from_array(im, chunks=37), {}),
    "zarr": lambda im: (zarr.array(im, chunks=(40, 50)), {}),
    "xarray": lambda im: (xarray.DataArray(im, dims=("y", "x")), {}),
    "rgb": lambda im: (_rgb(im), {"rgb": True}),
    "rgba": lambda im: (_rgba(im), {"rgb": True}),
    "rgb float": lambda im: (_rgb(im) / 255, {"rgb": True}),
    "rgb dask": lambda im: (da.from_array(_rgb(im)), {"rgb": True}),
    "strip": lambda im: (np.tile(im[30:46], (1, 1)), {}),
    "column": lambda im: (np.ascontiguousarray(im[30:46].T), {}),
    "two pixels": lambda im: (im[20:21, 20:60:30], {}),
    "one row": lambda im: (im[20:21], {}),
    "multiscale": lambda im: ([im, im[::2, ::2], im[::4, ::4]], {"multiscale": True}),
    "multiscale dask": lambda im: (
        [da.from_array(im), da.from_array(im)[::2, ::2]], {"multiscale": True}
    ),
    "placed": lambda im: (im, {"scale": (2, 0.5), "translate": (7, -3)}),
    "rotated": lambda im: (im, {"rotate": 30, "scale": (2, 0.5)}),
    "sheared": lambda im: (im, {"shear": [0.3], "translate": (5, 5)}),
    "affine": lambda im: (im, {"affine": TURNED, "scale": (3, 1)}),
    "z": lambda im: (_stack(im), {"scale": (5, 1, 1)}),
    "z dask": lambda im: (da.from_array(_stack(im), chunks=(1, 50, 50)), {}),
    "z zarr": lambda im: (zarr.array(_stack(im), chunks=(2, 40, 50)), {}),
    "z xarray": lambda im: (xarray.DataArray(_stack(im), dims=("z", "y", "x")), {}),
    "z rgb": lambda im: (np.stack([_rgb(im[::-1]), _rgb(im), _rgb(im)]), {"rgb": True}),
    "z rotated": lambda im: (_stack(im), {"rotate": 20, "scale": (3, 1, 1)}),
    "z multiscale": lambda im: (
        [_stack(im), _stack(im)[:, ::2, ::2]], {"multiscale": True}
    ),
    "tz": lambda im: (np.stack([_stack(im // 3), _stack(im)]), {}),
    "one slice": lambda im: (im[None], {}),
    "5D": lambda im: (np.stack([_stack(im // 3), _stack(im)])[:, None], {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_the_shown_plane_is_segmented(viewer, widget, segment, nuclei, kind):
    data, options = LAYERS[kind](nuclei[0])
    image = viewer.add_image(data, **options)
    for axis, steps in enumerate(viewer.dims.nsteps[:-2]):
        viewer.dims.set_current_step(axis, steps - 1)
    widget.segmenting.iterations.setValue(1)
    segment()
    first = data[0] if image.multiscale else data
    last = tuple(side - 1 for side in first.shape[: image.ndim - 2])
    plane = np.asarray(first[last])
    result = viewer.layers[-1]
    expected = Segmenter().segment(plane, 1)[0].labels
    assert result.name.startswith("SAM-SP 0"), widget.status.text()
    assert np.array_equal(np.squeeze(result.data), np.squeeze(expected))
    for y, x in [(0, 0), (plane.shape[0] - 1, plane.shape[1] - 1)]:
        np.testing.assert_allclose(
            result.data_to_world((0,) * len(last) + (y, x)),
            image.data_to_world((*last, y, x)),
            atol=1e-9,
        )
