#!/usr/bin/env python3
"""Perplexity of a model by Halftone's hf protocol, through Transformers in f32.

MODEL is a directory or a .gguf file. The whole text is tokenized without special tokens, cut into
windows that do not overlap, each window's first token replaced by BOS where the tokenizer adds one.
"""
import argparse
import json
import os
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(path):
    if path.endswith(".gguf"):
        folder, name = os.path.split(os.path.abspath(path))
        return (AutoTokenizer.from_pretrained(folder, gguf_file=name),
                AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32))
    return (AutoTokenizer.from_pretrained(path),
            AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32))


def windows_of(tokenizer, text, length, count):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [ids[i:i + length] for i in range(0, len(ids) - length + 1, length)][:count]
    with_special = tokenizer("a")["input_ids"]
    if tokenizer.bos_token_id is not None and with_special[0] == tokenizer.bos_token_id:
        for window in windows:
            window[0] = tokenizer.bos_token_id
    return windows


def losses(model, window):
    with torch.no_grad():
        logits = model(torch.tensor([window])).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(window[1:]), reduction="none").double()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--windows", type=int, default=1 << 30)
    options = parser.parse_args()
    tokenizer, model = load(options.model)
    windows = windows_of(tokenizer, open(options.text, encoding="utf-8", newline="").read(),
                         options.seq_len, options.windows)
    start = time.time()
    nll = torch.cat([losses(model, window) for window in windows])
    seconds = time.time() - start
    print(json.dumps({"windows": len(windows), "tokens": nll.numel(),
                      "perplexity": nll.mean().exp().item(), "seconds": seconds,
                      "tokens_per_second": len(windows) * options.seq_len / seconds}, indent=2))


if __name__ == "__main__":
    main()
