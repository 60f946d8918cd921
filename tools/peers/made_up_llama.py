#!/usr/bin/env python3
"""A llama of random weights, for shapes that no small model has: made_up_llama.py OUT --tokenizer DIR --width W --inner I

Weights are of Student's t (5 degrees of freedom), rows and the norms' channels spread log-normally (sigma .5): uneven inputs and
outliers, as real models have them, though nothing that was learned. Written in bf16, with the tokenizer of DIR.
"""
import argparse

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--inner", type=int, required=True, help="inputs of down_proj")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--head-dim", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    heads = options.width // options.head_dim
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=options.width, intermediate_size=options.inner,
                         num_hidden_layers=options.layers, num_attention_heads=heads, num_key_value_heads=heads,
                         bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                         tie_word_embeddings=True)
    model = LlamaForCausalLM(config)
    heavy = torch.distributions.StudentT(5.0)
    for layer in model.model.layers:
        for name, parameter in layer.named_parameters():
            spread = torch.exp(0.5 * torch.randn(parameter.shape[0]))
            if parameter.dim() == 1:
                parameter.data = spread
            else:
                parameter.data = heavy.sample(parameter.shape) * spread[:, None] / parameter.shape[1] ** 0.5
    model.to(torch.bfloat16).save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


if __name__ == "__main__":
    main()
