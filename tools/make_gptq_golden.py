#!/usr/bin/env python3
"""Writes tests/data/gptq_*: a tiny GPTQ layer each, packed as AutoGPTQ's QuantLinear.pack does it.

Independent of Halftone's packer: integers are shifted into words code by code, and 3 bits take the
10 | 1 | 10 | 1 | 10 pattern spelled out. `expected.safetensors` holds the weights in f32, computed
from the codes before packing. Needs numpy and safetensors.

    tools/make_gptq_golden.py [OUTPUT=tests/data]
"""
import json
import os
import sys

import numpy as np
from safetensors.numpy import save_file


def pack_rows(codes, bits):
    """(n, m) integers → (n·bits/32, m) words, packed along the first axis."""
    codes = codes.astype(np.uint32)
    words = np.zeros((codes.shape[0] * bits // 32, codes.shape[1]), dtype=np.uint32)
    i = row = 0
    while row < words.shape[0]:
        if bits in (2, 4, 8):
            for j in range(i, i + 32 // bits):
                words[row] |= codes[j] << (bits * (j - i))
            i += 32 // bits
            row += 1
            continue
        for j in range(i, i + 10):
            words[row] |= codes[j] << (3 * (j - i))
        i += 10
        words[row] |= codes[i] << 30
        row += 1
        words[row] |= (codes[i] >> 2) & 1
        i += 1
        for j in range(i, i + 10):
            words[row] |= codes[j] << (3 * (j - i) + 1)
        i += 10
        words[row] |= codes[i] << 31
        row += 1
        words[row] |= (codes[i] >> 1) & 0x3
        i += 1
        for j in range(i, i + 10):
            words[row] |= codes[j] << (3 * (j - i) + 2)
        i += 10
        row += 1
    return words.view(np.int32)


def write(directory, bits, sym, act_order, label, inputs=64, outputs=32, group=16):
    rng = np.random.default_rng(bits)
    groups = inputs // group
    codes = rng.integers(0, 2**bits, (inputs, outputs))
    scales = rng.uniform(0.001, 0.1, (groups, outputs)).astype(np.float16)
    if sym:
        zeros = np.full((groups, outputs), 2 ** (bits - 1))
    else:
        zeros = rng.integers(0, 2**bits, (groups, outputs))
    g_idx = np.arange(inputs) // group
    if act_order:
        g_idx = g_idx[rng.permutation(inputs)]
    dense = scales.astype(np.float32)[g_idx] * (codes - zeros[g_idx]).astype(np.float32)

    os.makedirs(directory, exist_ok=True)
    stored = zeros - 1 if label == "gptq" else zeros
    module = "model.layers.0.mlp.down_proj"
    save_file(
        {
            f"{module}.qweight": np.ascontiguousarray(pack_rows(codes, bits)),
            f"{module}.qzeros": np.ascontiguousarray(pack_rows(stored.T, bits).T),
            f"{module}.scales": scales,
            f"{module}.g_idx": g_idx.astype(np.int32),
            "model.norm.weight": np.ones(8, dtype=np.float16),
        },
        f"{directory}/model.safetensors",
        metadata={"format": "pt"},
    )
    save_file({f"{module}.weight": np.ascontiguousarray(dense.T)}, f"{directory}/expected.safetensors")
    config = {"bits": bits, "group_size": group, "desc_act": act_order, "sym": sym,
              "quant_method": "gptq", "checkpoint_format": label}
    with open(f"{directory}/config.json", "w") as file:
        json.dump({"model_type": "llama", "quantization_config": config}, file, indent=1)
        file.write("\n")


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else "tests/data"
    write(f"{output}/gptq_4bit_act_order", 4, True, True, "gptq")
    write(f"{output}/gptq_3bit_asymmetric", 3, False, False, "gptq_v2")


if __name__ == "__main__":
    main()
