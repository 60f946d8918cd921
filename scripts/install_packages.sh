#!/usr/bin/env bash
# Installs what Halftone is built from: packages of the distribution, nothing else. Lists what is missing
# and asks for root only when something is. Debian 12, Debian 13, and Ubuntu 24.04 (untested).
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install_packages.sh [--with-tests] [--with-fetch] [--with-clang] [--yes] [--dry-run | --check]

  --with-tests   also what the tests need (GoogleTest)
  --with-fetch   also what scripts/fetch.sh needs (curl, and Python's pip as its fallback)
  --with-clang   also clang and clang-format
  --yes          do not ask
  --dry-run      list what would be installed, and stop
  --check        silent and 0 when nothing is missing; else say the command that installs it, and 1
TEXT
}

build=(g++ make cmake ninja-build pkg-config
       libcli11-dev nlohmann-json3-dev libsimdjson-dev libspdlog-dev libfmt-dev
       libdnnl-dev ocl-icd-opencl-dev   # oneDNN's CMake files ask for the headers of OpenCL
       liblapacke-dev libopenblas-dev
       libpcre2-dev libutf8proc-dev libssl-dev)
tests=(libgtest-dev libgmock-dev)
fetch=(curl ca-certificates python3 python3-pip)
clang=(clang clang-format libomp-dev)

wanted=("${build[@]}")
arguments=()
yes=false mode=install
for argument in "$@"; do
  case $argument in
    --with-tests) wanted+=("${tests[@]}"); arguments+=("$argument") ;;
    --with-fetch) wanted+=("${fetch[@]}"); arguments+=("$argument") ;;
    --with-clang) wanted+=("${clang[@]}"); arguments+=("$argument") ;;
    --yes|-y) yes=true ;;
    --dry-run) mode=dry-run ;;
    --check) mode=check ;;
    -h|--help) usage; exit 0 ;;
    *) echo "install_packages: unknown option $argument" >&2; usage >&2; exit 2 ;;
  esac
done

name="this system"
if [ -r /etc/os-release ]; then
  name=$(. /etc/os-release; echo "${PRETTY_NAME:-${NAME:-this system}}")
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  # Another distribution: its packages are its user's choice, so a check has nothing to say.
  [ $mode = check ] && exit 0
  cat >&2 <<TEXT
install_packages: $name has no apt; this script knows Debian 12, Debian 13 and Ubuntu 24.04.
  Install these by your own package manager, then run make:
  a C++20 compiler (GCC 12, clang 14 or newer), CMake 3.22, Ninja, pkg-config, CLI11, nlohmann-json,
  simdjson, spdlog, fmt, oneDNN (2.6 or 3; OpenCL's headers, where it was built with them), LAPACKE, OpenBLAS, PCRE2,
  utf8proc, OpenSSL, GoogleTest.
TEXT
  exit 1
fi

# What dpkg has; a name that an installed package provides counts (pkgconf provides pkg-config).
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n${db:Status-Status} ${Provides}\n' |
            sed -n 's/^installed //p' | sed 's/ *([^)]*)//g; s/, */\n/g')
# A program may also have come from elsewhere (cmake from a release, pip with one's own Python).
runs() {
  case $1 in
    g++|make|cmake|curl) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
    *) false ;;
  esac
}
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "$package" <<<"$installed" || runs "$package" || missing+=("$package")
done

if [ ${#missing[@]} -eq 0 ]; then
  [ $mode = check ] || echo "Packages: all ${#wanted[@]} are installed."
  exit 0
fi
if [ $mode = check ]; then
  echo "Missing packages: ${missing[*]}" >&2
  echo "Install them with: scripts/install_packages.sh${arguments[*]:+ ${arguments[*]}}" >&2
  exit 1
fi

echo "$name lacks ${#missing[@]} of ${#wanted[@]} packages:"
printf '%s\n' "${missing[*]}" | fold -s -w 96 | sed 's/^/  /'
[ $mode = dry-run ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_packages: root is needed, and there is no sudo. As root:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
if [ $yes = false ]; then
  if [ ! -t 0 ]; then
    echo "install_packages: no terminal to ask on; pass --yes to install them." >&2
    exit 1
  fi
  read -r -p "Install them${as_root:+ with sudo}? [Y/n] " answer
  case $answer in ''|[Yy]*) ;; *) echo "Nothing was installed."; exit 1 ;; esac
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"; }

# The package lists are fetched when they do not know a package, and again when an install finds them stale.
unknown=()
for package in "${missing[@]}"; do
  candidate=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/.*Candidate: //p')
  case $candidate in ''|'(none)') unknown+=("$package") ;; esac
done
updated=false
if [ ${#unknown[@]} -gt 0 ]; then
  echo "Fetching the package lists ..."
  apt update
  updated=true
fi
echo "Installing ..."
if ! apt install -y --no-install-recommends "${missing[@]}"; then
  if [ $updated = true ]; then
    echo "install_packages: apt-get could not install them (its own message is above)." >&2
    exit 1
  fi
  echo "The package lists may be old: fetching them, then once more ..."
  apt update
  apt install -y --no-install-recommends "${missing[@]}"
fi
echo "Packages: installed ${#missing[@]}."
