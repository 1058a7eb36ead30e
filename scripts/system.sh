# What try.sh and test.sh share: system packages and virtual environments.
# Sourced by them, with bash; the current directory becomes the project's folder.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Print those of the given Debian packages that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            printf '%s\n' "$package"
        fi
    done
}

# Install the given Debian packages if any is missing. Elsewhere the packages of other
# systems have other names: there it is up to the user.
need_packages() {
    if ! have apt-get || ! have dpkg-query; then
        return 0
    fi
    local missing
    mapfile -t missing < <(missing_packages "$@")
    if [ "${#missing[@]}" -eq 0 ]; then
        return 0
    fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "These packages are missing: ${missing[*]}. Ask an administrator to run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing system packages: ${missing[*]}"
    # A list that cannot be refreshed may still be good enough to install from.
    "${as_root[@]}" apt-get update -q || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends "${missing[@]}" ||
        fail "These packages could not be installed: ${missing[*]}. Install them, then run this again."
}

# Qt's and OpenGL's libraries, which a window needs even if it is never shown.
WINDOW_PACKAGES=(
    libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
)
# Debian 13 and Ubuntu 24.04 gave one of them another name.
if have apt-cache && apt-cache show libglib2.0-0t64 >/dev/null 2>&1; then
    WINDOW_PACKAGES=("${WINDOW_PACKAGES[@]/#libglib2.0-0/libglib2.0-0t64}")
fi

# Print a Python that is new enough, or nothing.
find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13; do
        if have "$name" && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$name"
            return 0
        fi
    done
}

# Make the virtual environment $1 and put uv into it, unless that is done.
need_environment() {
    local python
    if "$1/bin/python" -m uv --version >/dev/null 2>&1; then
        return 0
    fi
    python="$(find_python)"
    if [ -z "$python" ]; then
        need_packages python3 python3-venv
        python="$(find_python)"
    fi
    [ -n "$python" ] || fail "Python 3.11 or newer with its venv module is needed; install it, then run this again."
    if ! "$python" -m venv --clear "$1" || ! "$1/bin/python" -m pip install -q uv; then
        fail "The virtual environment $1 could not be made; the lines above say why."
    fi
}

# uv reads none of pip's settings, so that an index set for pip would be missed.
use_index_of_pip() {
    local index
    index="$("$1/bin/python" -m pip config get global.index-url 2>/dev/null)" ||
        index="${PIP_INDEX_URL:-}"
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        export UV_DEFAULT_INDEX="$index"
    fi
}

# The version is read from git, which refuses a folder of another owner.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$PWD"
# Large packages come slowly over a slow line; that is no reason to give up.
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}"
