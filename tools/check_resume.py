#!/usr/bin/env python3
"""Kills `halftone quantize` at random moments, resumes, and compares the result byte for byte.

    tools/check_resume.py --halftone build/release/halftone --kills 20 -- MODEL --calib F --samples 8

What follows -- goes to `halftone quantize` as it is; -o is this script's. One run is left alone;
another is killed with SIGKILL at moments drawn over the whole length of the first, each time going
on with --resume; then every file of the two directories must be the same, whatever the threads.
"""
import argparse
import filecmp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def start(options, output, *more):
    command = [options.halftone, "quantize", *options.arguments, "-o", output, "--quiet", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    errors = process.communicate()[1]
    if process.returncode != 0:
        sys.exit(f"halftone quantize: exit code {process.returncode}\n{errors}")


def files_of(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


def same(one, other):
    names = files_of(one)
    if names != files_of(other):
        return f"the files differ: {names} and {files_of(other)}"
    for name in names:
        if not filecmp.cmp(os.path.join(one, name), os.path.join(other, name), shallow=False):
            return f"{name} differs"
    return None


def killed_run(options, output, seconds, rng):
    """One whole quantization, killed before it can finish as often as it takes a moment."""
    kills = 0
    resume = []
    while kills < options.kills:
        process = start(options, output, *resume)
        time.sleep(rng.uniform(0.02, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode == 0:        # it was faster
            break
        kills += 1
        if os.path.exists(output):         # published, and killed on its way out: it must be whole
            return kills
        resume = ["--resume"] if os.path.exists(output + ".journal") else []
    if not os.path.exists(output):
        finish(start(options, output, *resume))
    return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--halftone", default="build/release/halftone")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("arguments", nargs="+")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = os.path.join(folder, "whole", "out")
        os.makedirs(os.path.dirname(whole))
        begin = time.time()
        finish(start(options, whole))
        seconds = time.time() - begin
        print(f"uninterrupted: {seconds:.1f} s")
        kills, runs = 0, 0
        while kills < options.kills:
            output = os.path.join(folder, "killed", "out")
            shutil.rmtree(os.path.dirname(output), ignore_errors=True)
            os.makedirs(os.path.dirname(output))
            kills += killed_run(argparse.Namespace(**{**vars(options), "kills": options.kills - kills}),
                                output, seconds, rng)
            runs += 1
            difference = same(whole, output)
            if difference:
                sys.exit(f"after {kills} kills: {difference}")
        print(f"{kills} kills in {runs} quantizations: the same bytes every time")


if __name__ == "__main__":
    main()
