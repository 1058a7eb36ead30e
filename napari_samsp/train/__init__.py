"""The trainer, ``python -m napari_samsp.train``. Knows neither Qt nor napari."""
