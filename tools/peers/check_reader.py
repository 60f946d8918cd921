#!/usr/bin/env python3
"""Whether another program reads a model as Halftone does: its perplexity on a text's first windows beside `halftone eval`'s.

    check_reader.py READER MODEL --text F [--halftone build/release/halftone] [--llama DIR]

MODEL is a directory that `halftone quantize` or `convert` wrote. Both sides compute on the processor, Halftone in f32, by the
hf protocol (llama.cpp: by llama.cpp's). Exit code 1 when the two differ by more than --limit percent.
"""
import argparse
import glob
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version


def text_of(options):
    return open(options.text, encoding="utf-8", newline="").read()


def mean_loss_of_torch(model, tokenizer, options):
    import torch
    from perplexity import losses, windows_of

    windows = windows_of(tokenizer, text_of(options), options.seq_len, options.windows)
    return torch.cat([losses(model, window) for window in windows]).mean().item()


def transformers(options):
    """Transformers, with the package that its quantizer asks for (gptqmodel, compressed-tensors)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = {}
    if options.dequantize:
        from transformers import CompressedTensorsConfig

        config["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype), device_map="cpu",
                                                 **config)
    return mean_loss_of_torch(model.eval(), AutoTokenizer.from_pretrained(options.model), options)


def gptqmodel(options):
    """GPTQModel's own loader, with its kernels in PyTorch, run as they are: compiling each module takes many minutes."""
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    import torch
    from gptqmodel import BACKEND, GPTQModel
    from transformers import AutoTokenizer

    model = GPTQModel.load(options.model, device="cpu", backend=BACKEND(options.backend),
                           dtype=getattr(torch, options.dtype))
    return mean_loss_of_torch(model.model, AutoTokenizer.from_pretrained(options.model), options)


def autoawq(options):
    """AutoAWQ's own loader."""
    from awq import AutoAWQForCausalLM
    from transformers import AutoTokenizer

    model = AutoAWQForCausalLM.from_quantized(options.model, fuse_layers=False, device_map="cpu", use_ipex=False)
    return mean_loss_of_torch(model.model, AutoTokenizer.from_pretrained(options.model), options)


def mlx(options):
    """mlx-lm on mlx's processor device, in f32: its kernel for packed weights is inexact in bf16."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm import load
    from perplexity import windows_of

    mx.set_default_device(mx.cpu)
    model, tokenizer = load(options.model)
    model.set_dtype(mx.float32)  # scales, biases and what stayed dense; the codes are integers
    windows = windows_of(tokenizer._tokenizer, text_of(options), options.seq_len, options.windows)
    total = 0.0
    for window in windows:
        logits = model(mx.array([window]))[0, :-1].astype(mx.float32)
        total += nn.losses.cross_entropy(logits, mx.array(window[1:]), reduction="mean").item()
    return total / len(windows)


def llama_perplexity(gguf, options):
    with tempfile.TemporaryDirectory() as scratch:
        if options.as_f32:
            dense = os.path.join(scratch, "f32.gguf")
            subprocess.run([os.path.join(options.llama, "llama-quantize"), "--allow-requantize", gguf, dense, "F32"],
                           capture_output=True, check=True)
            gguf = dense
        run = [os.path.join(options.llama, "llama-perplexity"), "-m", gguf, "-f", options.text, "-c",
               str(options.seq_len), "--chunks", str(options.windows)]
        return subprocess.run(run, capture_output=True, text=True, check=True)


def llama(options):
    """llama-perplexity; then llama-completion answers a question with the file's chat template."""
    (gguf,) = glob.glob(os.path.join(options.model, "*.gguf"))[:1]
    log = llama_perplexity(gguf, options)
    found = re.search(r"Final estimate: PPL = ([\d.]+)", log.stdout + log.stderr)
    chat = [os.path.join(options.llama, "llama-completion"), "-m", gguf, "-cnv", "-st", "--temp", "0", "-n", "24",
            "--no-warmup", "-p", options.question]
    answer = subprocess.run(chat, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    print(f"llama-completion: {answer.stdout.strip()!r}")
    return math.log(float(found.group(1)))


# Name: how it is run, and whose versions are told.
READERS = {
    "transformers": (transformers, ["transformers", "gptqmodel", "compressed-tensors"]),
    "gptqmodel": (gptqmodel, ["gptqmodel"]),
    "autoawq": (autoawq, ["autoawq"]),
    "mlx": (mlx, ["mlx", "mlx-lm"]),
    "llama.cpp": (llama, []),
}


def installed(package):
    try:
        return f"{package} {version(package)}"
    except ImportError:
        return ""


def ours(options):
    protocol = "llama.cpp" if options.reader == "llama.cpp" else "hf"
    run = [options.halftone, "eval", options.model, "--text", options.text, "--protocol", protocol, "--seq-len",
           str(options.seq_len), "--windows", str(options.windows), "--dtype", "f32", "--device", "cpu", "--json"]
    return json.loads(subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--limit", type=float, default=0.5, help="percent")
    parser.add_argument("--halftone", default="build/release/halftone")
    parser.add_argument("--llama", default="", help="the directory of llama.cpp's programs (default: on the PATH)")
    parser.add_argument("--as-f32", action="store_true",
                        help="llama.cpp unpacks the file to F32 first: its kernels for packed weights round "
                             "activations to 8 bits")
    parser.add_argument("--dtype", default="float16", help="of what PyTorch's readers compute in")
    parser.add_argument("--backend", default="torch", help="gptqmodel's kernels: torch, torch_awq, …")
    parser.add_argument("--dequantize", action="store_true", help="Transformers unpacks compressed-tensors as it loads")
    parser.add_argument("--question", default="What is the capital of France?")
    options = parser.parse_args()
    read, packages = READERS[options.reader]
    mine = ours(options)["perplexity"]
    theirs = math.exp(read(options))
    change = 100 * (theirs / mine - 1)
    versions = ", ".join(filter(None, map(installed, packages))) or options.reader
    print(f"{options.model}: {versions} {theirs:.4f} | halftone {mine:.4f} ({change:+.3f} %)", flush=True)
    sys.exit(abs(change) > options.limit)


if __name__ == "__main__":
    main()
