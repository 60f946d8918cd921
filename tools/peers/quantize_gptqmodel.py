#!/usr/bin/env python3
"""GPTQModel at its strong settings (act-group-aware order, mse 2.4), 4 bits, symmetric, on the CPU.

Calibrates on the first `samples` windows of the text, the same ids that
`halftone quantize --samples N` takes when the text holds exactly N windows.
"""
import argparse
import os
import time

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
from gptqmodel import GPTQModel, QuantizeConfig  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--calib", required=True)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--group-size", type=int, default=64)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    ids = tokenizer(open(options.calib, encoding="utf-8").read(), add_special_tokens=False)["input_ids"]
    length = options.seq_len
    data = [{"input_ids": ids[i * length:(i + 1) * length], "attention_mask": [1] * length}
            for i in range(options.samples)]
    config = QuantizeConfig(bits=4, group_size=options.group_size, sym=True, desc_act=False,
                            act_group_aware=True, mse=2.4)
    start = time.time()
    model = GPTQModel.load(options.model, config, device="cpu")
    model.quantize(data, batch_size=1)
    model.save(options.out)
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
