#!/usr/bin/env bash
# scripts/bundle.sh [DIR]: one compressed tarball that runs on any x86-64 Linux with glibc 2.36 or newer, without
# packages of ours: the program, the CUDA plug-in where a CUDA compiler is found, every shared library but those of
# glibc, the driver and CUDA, and their licences. It lands in DIR (default: build/).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-build}
jobs=${JOBS:-$(nproc)}

for tool in ldd objdump xz; do
  command -v "$tool" >/dev/null || { echo "bundle: $tool is missing (apt-get install binutils xz-utils)" >&2; exit 2; }
done

scripts/configure.sh bundle
goals=(halftone)
grep -q '^CMAKE_CUDA_COMPILER:[A-Z]*=/' build/bundle/CMakeCache.txt && goals+=(halftone_cuda)
cmake --build build/bundle --target "${goals[@]}" --parallel "$jobs"

version=$(sed -n 's/^halftone \([0-9.]*\).*/\1/p' <(build/bundle/halftone --version))
name=halftone-$version-linux-x86_64
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/$name"/{bin,lib,licenses}
install -s build/bundle/halftone "$folder/$name/bin/"
if [ -e build/bundle/libhalftone_cuda.so ]; then
  install -s build/bundle/libhalftone_cuda.so "$folder/$name/bin/"
else
  echo "bundle: without the CUDA plug-in: no CUDA compiler was found"
fi

# Of glibc itself, which is the system's.
system='^(linux-vdso|ld-linux|libc|libm|libpthread|libdl|librt|libresolv|libutil|libanl)[-.]'
while read -r soname path; do
  [[ $soname =~ $system ]] && continue
  install -m 644 "$(readlink -f "$path")" "$folder/$name/lib/$soname"
  # merged /usr: dpkg knows a file under the one name or the other
  package=$(dpkg -S "$(readlink -f "$path")" 2>/dev/null || dpkg -S "$(readlink -f "$path" | sed 's,^/usr,,')" 2>/dev/null || true)
  package=${package%%:*}
  if [ -n "$package" ] && [ -e "/usr/share/doc/$package/copyright" ]; then
    cp "/usr/share/doc/$package/copyright" "$folder/$name/licenses/$package"
  else
    echo "bundle: no licence was found for $soname ($path)" >&2
    exit 1
  fi
done < <(ldd build/bundle/halftone | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3}')
strip --strip-unneeded "$folder/$name"/lib/* 2>/dev/null || true

cp LICENSE README.md CHANGELOG.md "$folder/$name/"
cp -r docs "$folder/$name/"

# The newest glibc that anything in it asks for.
newest=$(objdump -T "$folder/$name"/bin/* "$folder/$name"/lib/* 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -t. -k2 -n | tail -1)
echo "Needs ${newest#GLIBC_} of glibc"
if [ "${newest#GLIBC_2.}" -gt 36 ]; then
  echo "bundle: expected 2.36 at most: build it on Debian 12" >&2
  exit 1
fi

# It runs from a place of its own without a variable of ours, and finds its own libraries there.
strangers=$(env -i ldd "$folder/$name/bin/halftone" | awk '$2 == "=>" {print $1, $3}' | grep -Ev "$system" | grep -v " $folder/" || true)
if [ -n "$strangers" ]; then
  echo "bundle: taken from the system: $strangers" >&2
  exit 1
fi
env -i "$folder/$name/bin/halftone" --version >/dev/null
mkdir -p "$target"
tar -C "$folder" --sort=name --owner=0 --group=0 --mtime='2000-01-01 UTC' -cf - "$name" | xz -T0 -9 >"$target/$name.tar.xz"
size=$(stat -c %s "$target/$name.tar.xz")
echo "Wrote $target/$name.tar.xz, $((size / 1000000)) MB. Next: tar xf it anywhere, and run $name/bin/halftone --help"
if [ "$size" -gt 60000000 ]; then
  echo "bundle: larger than the 60 MB that it may take" >&2
  exit 1
fi
