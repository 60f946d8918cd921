#!/usr/bin/env python3
"""Writes tests/data/tiny: a small random model of every family, and the logits that Hugging Face
Transformers computes for it in f32. Needs torch, transformers, safetensors; run by hand when a family
is added, not by the build.

    tools/make_tiny_models.py [NAME...]

Each folder holds config.json and model.safetensors as Transformers writes them; NAME.golden.safetensors
beside it, `ids` (1, tokens) and `logits` (tokens, vocab). Weights are drawn wide enough that attention is far
from uniform and every term of the forward pass moves the logits.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3ForConditionalGeneration

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "tiny"
TOKENS = 40

SIZES = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, vocab_size=128, max_position_embeddings=64, rms_norm_eps=1e-5,
    bos_token_id=0, eos_token_id=1, pad_token_id=None,
)
GEMMA = dict(
    SIZES, num_hidden_layers=7, num_key_value_heads=1, head_dim=16, sliding_window=8,
    query_pre_attn_scalar=24, rope_theta=1e6, rope_local_base_freq=1e4,
)

# name: (model_type, configuration)
MODELS = {
    "llama": ("llama", dict(SIZES, num_key_value_heads=4)),
    "llama_bias": ("llama", dict(SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama_linear": ("llama", dict(SIZES, rope_scaling={"rope_type": "linear", "factor": 4.0})),
    # Two of the eight frequencies lie in the part that is blended, and so for yarn.
    "llama3": ("llama", dict(SIZES, rope_theta=1e3, head_dim=16, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 48})),
    "llama_yarn": ("llama", dict(SIZES, rope_theta=1e2, head_dim=16, rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "beta_fast": 2.0, "original_max_position_embeddings": 40})),
    "mistral": ("mistral", dict(SIZES, sliding_window=8, head_dim=16)),
    "qwen2": ("qwen2", dict(SIZES, tie_word_embeddings=True)),
    "qwen2_window": ("qwen2", dict(SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1)),
    "qwen3": ("qwen3", dict(SIZES, head_dim=16, rope_theta=1e6)),
    "gemma3_text": ("gemma3_text", GEMMA),
    "gemma3": ("gemma3", dict(
        text_config=dict(GEMMA, model_type="gemma3_text", num_hidden_layers=3, sliding_window_pattern=2,
                         rope_scaling={"rope_type": "linear", "factor": 8.0}),
        vision_config=dict(model_type="siglip_vision_model", hidden_size=16, intermediate_size=16,
                           num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14),
        mm_tokens_per_image=4, image_token_index=127, boi_token_index=126, eoi_token_index=125)),
}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1 and name.endswith("weight"):     # a norm's gain
            values = 0.3 * values + (0 if "gemma" in model.config.model_type else 1)
        elif name.endswith("bias"):
            values = 0.5 * values
        elif "embed_tokens" in name:     # narrow where it is the head as well, or every token predicts itself
            values = values * (0.15 if "gemma" in model.config.model_type else
                               0.3 if model.config.tie_word_embeddings else 1)
        elif parameter.ndim == 2:
            values = values * 1.5 / parameter.shape[1] ** 0.5
        parameter.data = values.to(torch.bfloat16)


def make(name, model_type, settings):
    config = AutoConfig.for_model(model_type, **settings)
    config._attn_implementation = "eager"
    kind = Gemma3ForConditionalGeneration if model_type == "gemma3" else AutoModelForCausalLM
    model = kind(config) if model_type == "gemma3" else kind.from_config(config)
    randomize(model, seed=sum(name.encode()))
    model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(OUT / name)
    (OUT / name / "generation_config.json").unlink(missing_ok=True)

    text = config.text_config if model_type == "gemma3" else config
    ids = torch.randint(2, min(text.vocab_size, 120), (1, TOKENS), generator=torch.Generator().manual_seed(7))
    model = kind.from_pretrained(OUT / name, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].float().contiguous()
    save_file({"ids": ids.to(torch.int32), "logits": logits}, OUT / f"{name}.golden.safetensors")
    size = sum(f.stat().st_size for f in (OUT / name).iterdir())
    top = logits.softmax(-1).max(-1).values.mean()
    print(f"{name:14} {size:7} bytes, |logit| ≤ {logits.abs().max():.1f}, mean top probability {top:.2f}")


def main():
    names = sys.argv[1:] or list(MODELS)
    for name in names:
        make(name, *MODELS[name])


if __name__ == "__main__":
    main()
