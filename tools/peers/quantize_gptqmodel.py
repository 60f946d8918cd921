#!/usr/bin/env python3
"""GPTQModel at its strong settings (act-group-aware order, mse 2.4), 4 bits, symmetric, on the CPU.

Calibrates on the first `samples` windows of the text (calibration.py).
"""
import os
import time

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
from gptqmodel import GPTQModel, QuantizeConfig  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from calibration import parser, windows_of  # noqa: E402


def main():
    options = parser(__doc__, samples=32, seq_len=2048, group_size=64).parse_args()
    windows = windows_of(AutoTokenizer.from_pretrained(options.model), options)
    data = [{"input_ids": window, "attention_mask": [1] * len(window)} for window in windows]
    config = QuantizeConfig(bits=4, group_size=options.group_size, sym=True, desc_act=False,
                            act_group_aware=True, mse=2.4)
    start = time.time()
    model = GPTQModel.load(options.model, config, device="cpu")
    model.quantize(data, batch_size=1)
    model.save(options.out)
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
