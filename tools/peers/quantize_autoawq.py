#!/usr/bin/env python3
"""AutoAWQ 0.2.9 at its default settings: 4 bits, asymmetric, GEMM, clipping, both scales searched.

Calibrates on the first `samples` windows of the text (calibration.py).
"""
import importlib.machinery
import os
import sys
import time
import types

os.environ.update(USE_FLAX="0", USE_TF="0", HF_HUB_OFFLINE="1")
import torch  # noqa: E402

try:
    import datasets  # noqa: F401
except ImportError:  # AutoAWQ wants it for its own calibration text; ours comes as ids.
    stub = types.ModuleType("datasets")
    stub.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    stub.load_dataset = None
    sys.modules["datasets"] = stub
from awq import AutoAWQForCausalLM  # noqa: E402
from awq.modules.linear import WQLinear_GEMM  # noqa: E402
from awq.quantize.quantizer import AwqQuantizer  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from calibration import parser, windows_of  # noqa: E402


def make_cpu_copy():
    """Has Tensor.cpu() copy where the tensor is on the CPU already.

    AutoAWQ saves weights with it before each try of its search and caches inputs with it, one for
    each linear. On a GPU these are copies. On the CPU they are the tensors themselves: the search
    would restore weights that it has scaled, and the one input of q, k and v be divided thrice.
    """
    to_cpu = torch.Tensor.cpu
    torch.Tensor.cpu = lambda self, *a, **k: (
        self.clone() if self.device.type == "cpu" else to_cpu(self, *a, **k))


def pack(codes):
    """Eight 4-bit codes of neighbouring columns to a word, in AWQ's order."""
    words = torch.zeros(codes.shape[0], codes.shape[1] // 8, dtype=torch.int32, device=codes.device)
    for i, column in enumerate([0, 2, 4, 6, 1, 3, 5, 7]):
        words |= codes[:, column::8] << (4 * i)
    return words


def from_linear(linear, w_bit, group_size, init_only=False, scales=None, zeros=None):
    """WQLinear_GEMM.from_linear's words, without its loop over single columns (which takes
    millions of kernel launches)."""
    packed = WQLinear_GEMM(w_bit, group_size, linear.in_features, linear.out_features,
                           linear.bias is not None, linear.weight.device)
    packed.scales = scales.clone().half()
    if linear.bias is not None:
        packed.bias = linear.bias.clone().half()
    weight = linear.weight.data.t().reshape(len(scales), group_size, -1)
    offset = (zeros * scales)[:, None]
    codes = torch.round((weight + offset) / packed.scales[:, None]).to(torch.int32)
    packed.qweight = pack(codes.reshape(-1, linear.out_features))
    packed.qzeros = pack(zeros.to(torch.int32))
    return packed


class CpuQuantizer(AwqQuantizer):
    """AutoAWQ's search for clipping, its sums over a group's inputs as matrix products: they would
    take hours on a CPU as it writes them, elementwise."""

    @torch.no_grad()
    def _compute_best_clip(self, w, input_feat, n_grid=20, max_shrink=0.5, n_sample_token=512):
        tokens = input_feat.view(-1, input_feat.shape[-1])
        tokens = tokens[:: max(1, len(tokens) // n_sample_token)]
        tokens = tokens.view(len(tokens), -1, self.group_size).transpose(0, 1)  # groups, tokens, in
        groups = w.view(w.shape[0], -1, self.group_size).transpose(0, 1)  # groups, outputs, in
        whole = groups.abs().amax(dim=-1, keepdim=True)
        best, least = whole.clone(), torch.full_like(whole, 1e9)
        for step in range(int(max_shrink * n_grid)):
            limit = whole * (1 - step / n_grid)
            clipped = groups.clamp(-limit, limit).contiguous()
            change = self.pseudo_quantize_tensor(clipped)[0] - groups
            error = (change @ tokens.transpose(1, 2)).pow(2).mean(dim=-1, keepdim=True)
            better = error < least
            least[better], best[better] = error[better], limit[better]
        return best.transpose(0, 1)


def main():
    arguments = parser(__doc__, samples=128, seq_len=512, group_size=128)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--dtype", help="default: float16 (AutoAWQ's) on a GPU, float32 on the CPU")
    options = arguments.parse_args()
    on_cpu = options.device == "cpu"
    if on_cpu:
        make_cpu_copy()
    WQLinear_GEMM.from_linear = staticmethod(from_linear)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=options.model + "/tokenizer.json")
    data = windows_of(tokenizer, options)
    dtype = getattr(torch, options.dtype or ("float32" if on_cpu else "float16"))
    start = time.time()
    model = AutoAWQForCausalLM.from_pretrained(options.model, device_map=options.device,
                                               torch_dtype=dtype)
    print(f"loaded: {time.time() - start:.1f} s", flush=True)
    model.quantize(
        tokenizer, calib_data=data, max_calib_samples=options.samples, max_calib_seq_len=options.seq_len,
        quant_config={"zero_point": True, "q_group_size": options.group_size, "w_bit": 4,
                      "version": "GEMM"},
        quantizer_cls=CpuQuantizer if on_cpu else AwqQuantizer)
    print(f"quantized: {time.time() - start:.1f} s", flush=True)
    model.save_quantized(options.out)
    tokenizer.save_pretrained(options.out)
    print(f"written: {time.time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
