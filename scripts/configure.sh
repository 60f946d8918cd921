#!/usr/bin/env bash
# scripts/configure.sh PRESET: runs CMake's configure step unless it has been run. Quiet when it works; when it
# fails, says which packages are missing, or shows CMake's own words. Changes of CMakeLists.txt files are
# the build's business: it runs CMake again by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
folder=build/$preset
log=$folder/configure.log
done=$folder/.configured

if [ -e "$done" ] && [ "$done" -nt CMakePresets.json ] && [ -e "$folder/CMakeCache.txt" ]; then
  exit 0
fi

packages=()
[ "$preset" = release ] || packages=(--with-tests)
generator=()   # the presets name Ninja; a folder keeps the generator that it began with
if [ -e "$folder/CMakeCache.txt" ]; then
  generator=(-G "$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$folder/CMakeCache.txt")")
elif ! command -v ninja >/dev/null; then
  generator=(-G "Unix Makefiles")
fi

mkdir -p "$folder"
echo "Configuring $folder ..."
if ! cmake --preset "$preset" ${generator[@]+"${generator[@]}"} >"$log" 2>&1; then
  if scripts/install_packages.sh --check ${packages[@]+"${packages[@]}"}; then
    cat "$log" >&2
    echo "configure: CMake failed (all of the above is in $log)" >&2
  fi
  exit 1
fi
touch "$done"
