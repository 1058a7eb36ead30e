#!/usr/bin/env bash
# Install what the tests need and run them: tests, lint, types, build.
#
#     bash scripts/test.sh                 everything
#     bash scripts/test.sh -e py311        the tests alone
#     bash scripts/test.sh -e py311 -- -k metrics
set -euo pipefail
# shellcheck source=scripts/system.sh
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

if [ "$(uname)" = Linux ]; then
    need_packages xvfb x11-utils "${WINDOW_PACKAGES[@]}"
    have Xvfb || fail "Xvfb is needed, for windows without a screen; install it, then run this again."
fi
need_environment .venv-tox
use_index_of_pip .venv-tox
.venv-tox/bin/python -m uv pip install -q --python .venv-tox/bin/python 'tox>=4.22' 'tox-uv>=1.20'

exec .venv-tox/bin/python -m tox run "$@"
