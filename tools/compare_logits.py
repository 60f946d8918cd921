#!/usr/bin/env python3
"""Compares halftone's logits with those of Hugging Face Transformers in f32, on the first ids of a text.

    tools/compare_logits.py MODEL --text FILE [--tokens 512] [--program build/release/tools/logits/halftone-logits]

MODEL is a .gguf file (which Transformers dequantizes by itself) or a Hugging Face directory. With
--save DIR the model is written there as Transformers writes it, and compared from there as well.
Prints the largest difference, the largest logit, and at how many positions the argmax differs although
the oracle's best two lie further apart than twice the difference. Needs torch, transformers,
safetensors and, for GGUF, gguf.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(path):
    """Model in f32 and tokenizer, as Transformers reads them."""
    path = pathlib.Path(path)
    where = dict(gguf_file=path.name) if path.suffix == ".gguf" else {}
    name = path.parent if where else path
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, attn_implementation="eager", **where)
    if where:   # dequantized, but still marked as GGUF's, which save_pretrained() refuses
        model.hf_quantizer = None
        del model.config.quantization_config
    return model.eval(), AutoTokenizer.from_pretrained(name, **where)


def ours(program, model, ids, dtype):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "ids").write_text(" ".join(map(str, ids)))
        subprocess.run([program, model, "--ids", scratch / "ids", "-o", scratch / "out", "--dtype", dtype], check=True)
        return load_file(scratch / "out" / "model.safetensors")["logits"]


def compare(name, mine, oracle):
    """One line of figures; whether every clear argmax agrees."""
    difference = (mine - oracle).abs()
    largest = difference.max().item()
    best = oracle.topk(2, -1).values
    clear = best[:, 0] - best[:, 1] > 2 * largest
    wrong = ((mine.argmax(-1) != oracle.argmax(-1)) & clear).sum().item()
    top = oracle.abs().max().item()
    print(f"{name}: {len(mine)} tokens, max difference {largest:.2e} ({largest / top:.1e} of the largest logit "
          f"{top:.1f}), mean {difference.mean().item():.1e}; {wrong} of {clear.sum().item()} clear argmax differ",
          flush=True)
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--program", default="build/release/tools/logits/halftone-logits")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--save", help="also write the model here with Transformers, and compare from there")
    options = parser.parse_args()

    model, tokenizer = load(options.model)
    text = pathlib.Path(options.text).read_text(encoding="utf-8")[: 40 * options.tokens]
    ids = tokenizer(text).input_ids[: options.tokens]
    with torch.no_grad():
        oracle = model(input_ids=torch.tensor([ids])).logits[0]
    good = compare(options.model, ours(options.program, options.model, ids, options.dtype), oracle)
    if options.save:
        model.save_pretrained(options.save)
        tokenizer.save_pretrained(options.save)
        good &= compare(options.save, ours(options.program, options.save, ids, options.dtype), oracle)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
