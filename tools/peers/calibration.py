"""What quantizers of other programs are given: their options, and the first windows of a text, the same ids that
`halftone quantize --samples N --seq-len L` takes when the text holds exactly N windows."""
import argparse


def parser(description, samples, seq_len, group_size):
    options = argparse.ArgumentParser(description=description)
    options.add_argument("model")
    options.add_argument("out")
    options.add_argument("--calib", required=True)
    options.add_argument("--samples", type=int, default=samples)
    options.add_argument("--seq-len", type=int, default=seq_len)
    options.add_argument("--group-size", type=int, default=group_size)
    return options


def windows_of(tokenizer, options):
    """`samples` lists of `seq_len` ids."""
    ids = tokenizer(open(options.calib, encoding="utf-8").read(), add_special_tokens=False)["input_ids"]
    length = options.seq_len
    windows = [ids[i * length:(i + 1) * length] for i in range(options.samples)]
    assert len(windows[-1]) == length, f"the text has {len(ids)} tokens"
    return windows
