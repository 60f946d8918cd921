#!/usr/bin/env python3
"""Compares `halftone tokenize` with the `tokenizers` library, id by id.

    python tools/compare_tokenizers.py MODEL FILE…        # needs: pip install tokenizers

MODEL is a Hugging Face directory, or a .gguf together with --tokenizer-json, the tokenizer.json of the
model that it was made from (or what `halftone convert` wrote). FILEs are tokenized whole; --random N
adds N strings of characters assigned in Unicode 14, some of them not UTF-8. Exits with 1 when an id
differs, and shows the first place where it does.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer


def random_text(rng, assigned, specials):
    """Runs of characters from neighbouring code points, blanks and special tokens between them."""
    parts = []
    for _ in range(rng.choice([1, 3, 10, 40])):
        start = rng.randrange(len(assigned))
        parts += rng.choices(assigned[start:start + 60], k=rng.choice([1, 2, 6]))
        parts.append(rng.choice(["", "", " ", "  ", "\n", "\t", "\u00a0", "\u200d", "a", "1", "'s", rng.choice(specials)]))
    data = bytearray("".join(parts).encode())
    if rng.random() < 0.1:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def our_ids(program, model, path):
    result = subprocess.run([program, "tokenize", model, "--text", path, "--json"], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{program} tokenize: exit {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)["ids"]


def strip_special(ids, tokenizer):
    """Without what the post-processor puts around a text."""
    around = tokenizer.encode("").ids
    if around and ids[:1] == around[:1]:
        return ids[1:]
    return ids


def report(name, ours, theirs, tokenizer):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    def pieces(ids):
        return [tokenizer.id_to_token(i) for i in ids[max(0, at - 3):at + 5]]
    print(f"{name}: differs at token {at}: ours {pieces(ours)}, theirs {pieces(theirs)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--tokenizer-json")
    parser.add_argument("--program", default="build/release/halftone")
    parser.add_argument("--random", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = pathlib.Path(options.model)
    tokenizer = Tokenizer.from_file(options.tokenizer_json or str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    rng = random.Random(options.seed)
    assigned = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cn", "Cs", "Co")]
    specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()] or [" "]
    differing = total = 0
    with tempfile.TemporaryDirectory() as scratch:
        texts = [(name, name) for name in options.files]
        for i in range(options.random):
            path = pathlib.Path(scratch) / f"random-{i}"
            path.write_bytes(random_text(rng, assigned, specials))
            texts.append((f"random text {i} (seed {options.seed})", str(path)))
        for name, path in texts:
            text = pathlib.Path(path).read_bytes().decode("utf-8", "replace")
            ours = strip_special(our_ids(options.program, options.model, path), tokenizer)
            theirs = tokenizer.encode(text, add_special_tokens=False).ids
            total += len(theirs)
            if ours != theirs:
                differing += 1
                report(name, ours, theirs, tokenizer)
    print(f"{len(texts)} texts, {total:,} tokens, {differing} texts differ")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
