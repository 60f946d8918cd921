#!/usr/bin/env python3
"""Perplexity of a GPTQ directory by Halftone's hf protocol, through GPTQModel's loader and kernels."""
import argparse
import json

import torch
from gptqmodel import BACKEND, GPTQModel
from transformers import AutoTokenizer

from perplexity import losses, windows_of


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--windows", type=int, default=1 << 30)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = GPTQModel.load(options.model, device="cpu", backend=BACKEND.TORCH)
    windows = windows_of(tokenizer, open(options.text, encoding="utf-8", newline="").read(),
                         options.seq_len, options.windows)
    nll = torch.cat([losses(model.model, window) for window in windows])
    print(json.dumps({"windows": len(windows), "tokens": nll.numel(),
                      "perplexity": nll.mean().exp().item()}, indent=2))


if __name__ == "__main__":
    main()
