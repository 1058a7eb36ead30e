"""The method: SAM, adapters, self-prompting. Knows neither Qt nor napari."""
