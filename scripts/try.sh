#!/usr/bin/env bash
# Install napari-samsp into .venv and open napari with its widget and a sample image.
#
#     bash scripts/try.sh
set -euo pipefail
# shellcheck source=scripts/system.sh
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

need_packages "${WINDOW_PACKAGES[@]}"
need_environment .venv
use_index_of_pip .venv
# Reinstalled, because uv would keep what it built before the code changed.
.venv/bin/python -m uv pip install --python .venv/bin/python \
    --reinstall-package napari-samsp . 'napari[pyqt6]'

sample="$(.venv/bin/python -P -c 'from importlib.resources import files
print(files("napari_samsp") / "samples" / "nuclei.png")')"

if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    say "napari-samsp is installed, but there is no screen to open napari on."
    say "The same without one:"
    say "  .venv/bin/python -m napari_samsp.predict '$sample' --output predictions"
    exit 0
fi
exec .venv/bin/napari "$sample" --with napari-samsp SAM-SP
