#!/usr/bin/env python3
"""The error of each tensor in two GGUF files, Halftone's and llama-quantize's, on a text that neither has seen.

    k_grid_error.py MODEL OURS.gguf THEIRS.gguf --text F [--tensors ffn_down] [--type Q4_K] [--windows 8]

MODEL is the dense directory that both were made from. Of each tensor that has --type in both files two errors are told, as
parts of the same sum over the weights themselves (W, Ŵ: outputs × inputs; x: the linear's input in MODEL, by Transformers in
f32):

    output     Σ_x |(W − Ŵ) x|² / Σ_x |W x|²               what the layer's output loses: tr(Δ H Δᵀ)
    diagonal   Σ_k mean(x_k²) Δ_k² / Σ_k mean(x_k²) W_k²    what an importance matrix sees of it: H's diagonal alone

GPTQ lets the second grow where that makes the first smaller. `grid` is the diagonal error of rounding W to nearest with the
scales and offsets that Halftone stored (Q4_K only): what its search for them found, beside llama-quantize's.
"""
import argparse
import statistics

import numpy
import torch
from gguf import GGUFReader, quants
from perplexity import windows_of
from transformers import AutoModelForCausalLM, AutoTokenizer

# The tensors whose rows llama.cpp does not permute.
MODULES = {"ffn_down": "mlp.down_proj", "ffn_up": "mlp.up_proj", "ffn_gate": "mlp.gate_proj",
           "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj"}


class Errors:
    """Sums over the tokens that a linear has seen."""

    def __init__(self, weight, files):
        self.weight = weight
        self.differences = [weight - file for file in files]
        self.squares = torch.zeros(weight.shape[1], dtype=torch.float64)  # Σ_x x_k²
        self.output = 0.0  # Σ_x |W x|²
        self.lost = [0.0 for _ in files]  # Σ_x |(W − Ŵ) x|²

    def observe(self, _, inputs):
        x = inputs[0].reshape(-1, self.weight.shape[1])
        self.squares += x.double().square().sum(0)
        self.output += (x @ self.weight.T).double().square().sum().item()
        for i, difference in enumerate(self.differences):
            self.lost[i] += (x @ difference.T).double().square().sum().item()

    def weighed(self, matrix):
        return (matrix.double().square().sum(0) @ self.squares).item()

    def relative(self):
        """(output of each file, diagonal of each file)"""
        whole = self.weighed(self.weight)
        return [lost / self.output for lost in self.lost], [self.weighed(d) / whole for d in self.differences]


def tensors_of(path):
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def values(tensor):
    return torch.from_numpy(quants.dequantize(tensor.data, tensor.tensor_type).copy())


def to_nearest(weight, tensor):
    """The dense weights, rounded to what a Q4_K tensor's d, dmin and multiples allow."""
    blocks = tensor.data.reshape(-1, 144)  # f16 d, f16 dmin, 12 bytes of multiples, 128 of codes
    d, dmin = (blocks[:, at:at + 2].view(numpy.float16).astype(numpy.float32) for at in (0, 2))
    scales, minima = quants.Q4_K.get_scale_min(blocks[:, 4:16])
    step, lowest = (d * scales)[:, :, None], (dmin * minima)[:, :, None]
    groups = weight.numpy().reshape(-1, 8, 32)
    codes = numpy.clip(numpy.round((groups + lowest) / numpy.where(step == 0, 1, step)), 0, 15)
    return torch.from_numpy((step * codes - lowest).reshape(weight.shape))


def watch(model, files, options):
    """Hooks the linears of --tensors; name → Errors."""
    watched = {}
    for i, layer in enumerate(model.model.layers):
        for kind in options.tensors.split(","):
            name = f"blk.{i}.{kind}.weight"
            found = [file[name] for file in files]
            if any(tensor.tensor_type.name != options.type for tensor in found):
                continue
            linear = layer.get_submodule(MODULES[kind])
            weight = linear.weight.detach()
            nearest = [to_nearest(weight, found[0])] if options.type == "Q4_K" else []
            watched[name] = Errors(weight, [values(tensor) for tensor in found] + nearest)
            linear.register_forward_pre_hook(watched[name].observe)
    return watched


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ours")
    parser.add_argument("theirs")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tensors", default="ffn_down", help=f"of {', '.join(MODULES)}; separated by commas")
    parser.add_argument("--type", default="Q4_K")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seq-len", type=int, default=512)
    options = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    watched = watch(model, [tensors_of(options.ours), tensors_of(options.theirs)], options)
    text = open(options.text, encoding="utf-8", newline="").read()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    for window in windows_of(tokenizer, text, options.seq_len, options.windows):
        with torch.no_grad():
            model.model(torch.tensor([window]))
    print(f"{'':38} output                     diagonal\n{'tensor':24} {'shape':>10}   {'ours':>9} {'theirs':>9} {'ratio':>6}"
          f"  {'ours':>9} {'grid':>9} {'theirs':>9} {'ratio':>6} {'ratio of grid':>14}")
    ratios = []
    for name, errors in watched.items():
        output, diagonal = errors.relative()
        grid = diagonal[2] if len(diagonal) == 3 else float("nan")
        ratios.append((output[0] / output[1], diagonal[0] / diagonal[1], grid / diagonal[1]))
        shape = "x".join(map(str, errors.weight.shape))
        print(f"{name:24} {shape:>10}   {output[0]:9.3e} {output[1]:9.3e} {ratios[-1][0]:6.3f}  {diagonal[0]:9.3e} "
              f"{grid:9.3e} {diagonal[1]:9.3e} {ratios[-1][1]:6.3f} {ratios[-1][2]:14.3f}")
    for title, column in zip(("output", "diagonal", "diagonal, grid"), zip(*ratios)):
        print(f"{title}: ratio's median {statistics.median(column):.3f}, from {min(column):.3f} to {max(column):.3f}; "
              f"ours smaller in {sum(ratio < 1 for ratio in column)} of {len(column)}")


if __name__ == "__main__":
    main()
