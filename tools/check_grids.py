#!/usr/bin/env python3
"""Every width, group and symmetry, quantized and evaluated: tools/check_grids.py [HALFTONE [FORMAT …]]

A made-up llama of two layers, 1,024 wide, so that every group from 16 to 1,024 divides its rows. A
grid must come out with the KL divergence that its bits promise (more bits, less loss; smaller
groups, no more loss than whole rows but for noise), or be refused with exit code 2 and a line that
says what the format takes. Prints a table; exit code 1 when a cell is neither.
"""
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HALFTONE = sys.argv[1] if len(sys.argv) > 1 else "build/release/halftone"
WIDTH, LAYERS, VOCAB, HEADS = 1024, 2, 128, 16
BITS, GROUPS = (2, 3, 4, 8), (-1, 16, 32, 64, 128, 256, 512, 1024)
FORMATS = {"gptq": (True,), "gptq_v2": (True, False), "awq": (True, False),
           "compressed-tensors": (True, False), "mlx": (True, False)}


def bf16(values):
    return b"".join(struct.pack("<f", value)[2:] for value in values)


def write_model(directory):
    draw = random.Random(1)
    shapes = {"model.embed_tokens.weight": [VOCAB, WIDTH], "model.norm.weight": [WIDTH],
              "lm_head.weight": [VOCAB, WIDTH]}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                     "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"):
            shapes[f"{at}{name}.weight"] = [WIDTH, WIDTH]
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{at}{name}.weight"] = [WIDTH]
    header, body = {}, []
    offset = 0
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        if len(shape) == 1:
            data = bf16([1.0]) * count
        else:
            # A row's worth of normal values in another order each time: fast, and as good.
            row = [draw.gauss(0, 0.04) for _ in range(WIDTH)]
            data = b""
            for _ in range(shape[0]):
                cut = draw.randrange(WIDTH)
                row = row[cut:] + row[:cut]
                data += bf16(row)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        body.append(data)
    text = json.dumps(header).encode()
    with open(f"{directory}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(body))
    with open(f"{directory}/config.json", "w") as file:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
                   "intermediate_size": WIDTH, "num_hidden_layers": LAYERS, "vocab_size": VOCAB,
                   "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
                   "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                   "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
                   "bos_token_id": 0, "eos_token_id": 1}, file)
    with open(f"{directory}/tokenizer.json", "w") as file:
        json.dump({"version": "1.0", "added_tokens": [], "normalizer": None,
                   "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                                     "trim_offsets": True, "use_regex": True},
                   "post_processor": None,
                   "decoder": {"type": "ByteLevel", "add_prefix_space": False,
                               "trim_offsets": True, "use_regex": True},
                   "model": {"type": "BPE", "merges": [],
                             "vocab": {chr(97 + i): i for i in range(26)}}}, file)
    with open(f"{directory}/text.txt", "w") as file:
        file.write("".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(34 * 64)))


def run(*arguments):
    return subprocess.run([HALFTONE, *arguments], capture_output=True, text=True)


def cell(directory, fmt, bits, group, symmetric):
    """The KL divergence, or the refusal's line."""
    out = f"{directory}/out"
    made = run("quantize", f"{directory}/model", "-o", out, "--force", "--format", fmt, "--bits",
               str(bits), "--group-size", str(group), "--sym" if symmetric else "--asym", "--calib",
               f"{directory}/model/text.txt", "--samples", "32", "--seq-len", "64", "--quiet",
               "--dtype", "f32", "--threads", "2")
    if made.returncode == 2:
        return made.stderr.strip().split("\n")[0]
    if made.returncode != 0:
        raise RuntimeError(made.stderr)
    found = run("eval", out, "--against", f"{directory}/model", "--text",
                f"{directory}/model/text.txt", "--seq-len", "64", "--windows", "16", "--json",
                "--dtype", "f32", "--threads", "2")
    if found.returncode != 0:
        raise RuntimeError(found.stderr)
    return json.loads(found.stdout)["kl_mean"]


def main():
    failures, refusals = [], {}
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/model")
        write_model(f"{directory}/model")
        for fmt, kinds in FORMATS.items():
            if len(sys.argv) > 2 and fmt not in sys.argv[2:]:
                continue
            for symmetric in kinds:
                print(f"\n{fmt}, {'sym' if symmetric else 'asym'}: KL by group size\nbits " +
                      "".join(f"{group:>9}" for group in GROUPS))
                losses = {}
                for bits in BITS:
                    row = []
                    for group in GROUPS:
                        try:
                            result = cell(directory, fmt, bits, group, symmetric)
                        except RuntimeError as error:
                            failures.append(f"{fmt} {bits} bits, group {group}: {error}")
                            result = "failed"
                        if isinstance(result, str):
                            refusals.setdefault(result, []).append((fmt, bits, group))
                            row.append("refused" if result != "failed" else result)
                        else:
                            losses[bits, group] = result
                            row.append(f"{result:.2e}")
                    print(f"{bits:>4} " + "".join(f"{text:>9}" for text in row), flush=True)
                for group, (less, more) in itertools.product(GROUPS, zip(BITS, BITS[1:])):
                    pair = losses.get((less, group)), losses.get((more, group))
                    if None not in pair and not pair[1] < pair[0]:
                        failures.append(f"{fmt}, group {group}: {more} bits lose {pair[1]:.2e}, "
                                        f"{less} bits {pair[0]:.2e}")
    print("\nRefused:")
    for line, cells in refusals.items():
        print(f"  {len(cells)} × {line}")
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
