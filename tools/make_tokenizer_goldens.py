#!/usr/bin/env python3
"""Writes tests/data/tokenizers/*.json: tiny tokenizers of every kind that we read, with ids and texts
that the `tokenizers` library (0.23) gives for them.

    python tools/make_tokenizer_goldens.py            # needs: pip install tokenizers

Each file holds {"tokenizer": tokenizer.json, "gguf": the same as GGUF's arrays (or null),
"cases": [{"text" | "hex", "ids", "special", "decoded"}], "decodes": [{"ids", "decoded", "plain"}]}:
ids without and special with special tokens, decoded without and plain with them. Texts that are not
UTF-8 stand as hex.
"""
import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizers"

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind it at all.",
    "We've seen that they'll come; I'm sure he'd say it's 1234 or 56,789.01 of them.",
    "def tokenize(text):\n    return [piece for piece in text.split(' ') if piece]\n\n\n",
    "Überraschung! Où est la bibliothèque? Ça va très bien, merci; naïve café.",
    "你好，世界。今天天气很好。こんにちは世界。안녕하세요 세계.",
    "مرحبا بالعالم. नमस्ते दुनिया। Привет, мир! Γειά σου κόσμε.",
    "\t\tif (x == 0) {\r\n\t\t\treturn;\r\n\t\t}   // done   here  \n",
    "the there then these them this that those thing think thank than",
] * 4

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
MARK = "\u2581"

FIXED = [
    "", " ", "  ", "\n", "\n\n\n", " \n ", "a", "Hello world", " leading", "trailing ",
    "don't DON'T we'LL it\u2019s 'sauce' x's", "e\u0301 \u212b \ufb01 \u1e9b\u0323 \u3392 \u0958",
    "12 123 1234567 \u0661\u0662\u0663 \u00bd \u2167 \u4e00", "a\u00a0b\u2003c\u3000d\u180ee\u200bf\u0085g\u001ch",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd",
    "x <s> y</s>z <|im_start|>user\nhi<|im_end|>\n", "foo<mask>bar <mask> baz_<mask>_", "Foo FOO foo",
    "  <lr>  a<lr>b  \t<lr>", "tokTOK Tok stok tok.", "<0x41> <0x0A>", "word" * 40, "ab" * 60 + "z",
    "\u0130stanbul \u1e9e \u03a3\u03a3 \u01c5", "\U00011935\U00011930 a\u0898\u0334 \u32ff",
    "!?.,;:\u061d\u3002\u00a1$+<=>^`|~ \u166d", "a,b;;c  d,,,", "\r\n\r\n x\r\ny", "\ufeffbom", "\u2581\u2581 a\u2581b",
    "the  there   then    ", "\t\t\t x", "0.5e-3 == x_1->y[2]", "\x00\x01\x7f",
]
BROKEN = [b"\xff", b"a\xe2\x82b", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"caf\xe9 ok", b"\xc0\xaf\xf5\x80"]


def random_texts(count, extra):
    """Random strings of characters assigned in Unicode 14, in runs from one block or class."""
    assert unicodedata.unidata_version >= "14"
    rng = random.Random(20240229)
    assigned = [chr(i) for i in range(0x30000) if unicodedata.category(chr(i)) not in ("Cn", "Cs", "Co")
                and i not in range(0x3400, 0x9f00) and i not in range(0xac00, 0xd700)]
    pools = [
        [chr(i) for i in range(32, 127)],
        [c for c in assigned if unicodedata.category(c)[0] == "M"],
        [c for c in assigned if unicodedata.category(c)[0] == "Z"] + list("\t\n\r\x0b\x0c\x85\u180e\u200b"),
        [chr(i) for i in range(0x4e00, 0x9fa0, 97)] + [chr(i) for i in range(0xac00, 0xd7a3, 211)],
        [c for c in assigned if 0x590 <= ord(c) < 0x700],
        [c for c in assigned if 0x900 <= ord(c) < 0xe80],
        [chr(i) for i in range(0x1f300, 0x1f650)] + ["\u200d", "\ufe0f", "\U0001f3fd"],
        [c for c in assigned if unicodedata.category(c)[0] == "N"],
        [c for c in assigned if unicodedata.category(c)[0] in "PS"],
        assigned, " ".join(CORPUS[:8]).split(), [" "], extra or [" "],
    ]
    texts = []
    for _ in range(count):
        chosen = rng.sample(pools, rng.choice([1, 2, 4]))
        texts.append("".join(rng.choice(rng.choice(chosen)) for _ in range(rng.choice([1, 3, 8, 24]))))
    return texts


def special(content, **options):
    return AddedToken(content, special=True, normalized=False, **options)


def train(tokenizer, size, **options):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, **options)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(pre_tokenizer, normalizer=None, ignore_merges=False, size=480):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return train(tokenizer, size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def with_bos(tokenizer, bos, eos=None):
    single = f"{bos} $A" + (f" {eos}" if eos else "")
    tokens = [(t, tokenizer.token_to_id(t)) for t in (bos, eos) if t]
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=tokens)


def sentencepiece_arrays():
    """A vocabulary as SentencePiece orders it: specials, bytes, pieces by falling score."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    train(tokenizer, 420)
    model = json.loads(tokenizer.to_str())["model"]
    merged = ["".join(pair) for pair in model["merges"]]
    letters = [piece for piece in model["vocab"] if piece not in set(merged)]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(tokens)
    for rank, piece in enumerate(merged + letters):
        if piece not in tokens:
            tokens.append(piece)
            types.append(1)
            scores.append(-float(rank))
    return tokens, types, scores


def generate_merges(tokens, types, scores):
    """transformers' rule: all cuts of a piece into two pieces, best score first, longest left first.
    User-defined pieces come first, in the order of their ids, as in its rule for Gemma."""
    parts = {t for t, kind in zip(tokens, types) if kind in (1, 4)}
    merges = []
    for index, (token, kind, score) in enumerate(zip(tokens, types, scores)):
        if kind not in (1, 4):
            continue
        for cut in range(1, len(token)):
            if token[:cut] in parts and token[cut:] in parts:
                rank = (0.0 if kind == 4 else score, -index)
                merges.append((token[:cut], token[cut:], rank))
    merges.sort(key=lambda merge: (merge[2], len(merge[0])), reverse=True)
    return [merge[:2] for merge in merges]


def sentencepiece(user_defined=()):
    tokens, types, scores = sentencepiece_arrays()
    for token in user_defined:
        if token not in tokens:
            tokens.append(token)
            types.append(4)
            scores.append(-1000.0)
        index = tokens.index(token)
        types[index], scores[index] = 4, -1000.0
    spelled = [t.replace(" ", MARK) if set(t) == {" "} else t for t in tokens]
    model = models.BPE(vocab={t: i for i, t in enumerate(spelled)},
                       merges=generate_merges(spelled, types, scores), unk_token="<unk>",
                       fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens([special(t) for t in tokens[:3]])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in user_defined if t.strip(" ")])
    gguf = {"model": "llama", "pre": "default", "tokens": tokens, "types": types, "scores": scores,
            "merges": [], "bos": 1, "eos": 2, "unknown": 0}
    tokenizer.post_processor = with_bos(tokenizer, "<s>")
    return tokenizer, gguf


def byte_level_arrays(tokenizer, pre, special_ids, **options):
    content = json.loads(tokenizer.to_str())
    vocabulary = {**content["model"]["vocab"], **{t["content"]: t["id"] for t in content["added_tokens"]}}
    tokens = sorted(vocabulary, key=vocabulary.get)
    types = [3 if i in special_ids else 1 for i in range(len(tokens))]
    for token in content["added_tokens"]:
        if not token["special"]:
            types[token["id"]] = 4
    # Filled up to a round number, as converters do.
    while len(tokens) % 16:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(5)
    return {"model": "gpt2", "pre": pre, "tokens": tokens, "types": types, "scores": [],
            "merges": [" ".join(pair) for pair in content["model"]["merges"]], **options}


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.add_special_tokens([special("<|endoftext|>")])
    return tokenizer, byte_level_arrays(tokenizer, "gpt-2", {tokenizer.token_to_id("<|endoftext|>")})


def prefix_space():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)), None


def smollm():
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer = byte_level(pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    names = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([special(name) for name in names])
    ids = {tokenizer.token_to_id(name) for name in names}
    return tokenizer, byte_level_arrays(tokenizer, "smollm", ids, bos=min(ids), eos=max(ids), add_bos=False)


def split_by(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3():
    tokenizer = byte_level(split_by(LLAMA3), ignore_merges=True)
    names = ["<s>", "</s>"]
    tokenizer.add_special_tokens([special(name) for name in names])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), with_bos(tokenizer, "<s>")])
    ids = [tokenizer.token_to_id(name) for name in names]
    return tokenizer, byte_level_arrays(tokenizer, "llama-bpe", set(ids), bos=ids[0], eos=ids[1])


def qwen2():
    tokenizer = byte_level(split_by(QWEN2), normalizer=normalizers.NFC())
    names = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([special(name) for name in names])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    ids = {tokenizer.token_to_id(name) for name in names}
    return tokenizer, byte_level_arrays(tokenizer, "qwen2", ids, eos=max(ids), add_bos=False)


def llama2():
    tokenizer, gguf = sentencepiece()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer, gguf


def mistral():
    """Llama 2's later form: Metaspace in place of the normalizer, and EOS as well."""
    tokenizer, _ = sentencepiece()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = with_bos(tokenizer, "<s>", "</s>")
    return tokenizer, None


def gemma():
    runs = ["\n" * n for n in range(1, 5)] + [" " * n for n in range(2, 8)] + ["\t" * n for n in range(2, 4)]
    tokenizer, gguf = sentencepiece(runs + ["<table>"])
    gguf["add_space_prefix"] = False
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer, gguf


def metaspace():
    """Unknown characters that do not fuse, Metaspace with splits, its own decoder, NFKC."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    train(tokenizer, 300, special_tokens=["<unk>"])
    tokenizer.add_tokens([AddedToken("tok", single_word=True), AddedToken("<lr>", lstrip=True, rstrip=True),
                          AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("\ufb01", normalized=True)])
    return tokenizer, None


def lowercase():
    """Everything that changes the text, added tokens in their normalized form, no decoder."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Lowercase(), normalizers.Strip(),
         normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits()])
    train(tokenizer, 300, special_tokens=["<unk>"])
    tokenizer.add_tokens([AddedToken("TOK", single_word=True), AddedToken("Foo"), AddedToken("<lr>", rstrip=True)])
    return tokenizer, None


def variants():
    """One vocabulary under many pre-tokenizers: (name, what is changed)."""
    split, regex = pre_tokenizers.Split, Regex(r"[,;]|\bx")
    steps = {
        **{f"split_{behavior}": split(Regex(r"[,;]|\d{1,2}+"), behavior)
           for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")},
        "split_inverted": split(Regex(r"\w+"), "removed", invert=True),
        "split_string": split(",", "merged_with_next", invert=True),
        "split_lines": split(Regex(r"^.|$|a(?m:.)"), "isolated"),
        "split_boundary": split(regex, "isolated"),
        "split_empty": split(Regex(r"x*"), "isolated"),
        "split_lookahead": split(Regex(r"(?=[A-Z])|[^\S\n]+"), "contiguous"),
        "whitespace": pre_tokenizers.Whitespace(),
        "punctuation": pre_tokenizers.Punctuation("contiguous"),
        "digits": pre_tokenizers.Digits(individual_digits=False),
        "metaspace_first": pre_tokenizers.Sequence([split(" ", "isolated"), pre_tokenizers.Metaspace(prepend_scheme="first")]),
    }
    base = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    train(base, 300, special_tokens=["<unk>"])
    texts = [text for text in FIXED if len(text) < 60] + random_texts(12, [])
    result = []
    for name, step in steps.items():
        base.pre_tokenizer = step
        result.append({"name": name, "pre_tokenizer": json.loads(base.to_str())["pre_tokenizer"],
                       "ids": [base.encode(text).ids for text in texts]})
    return {"tokenizer": json.loads(base.to_str()), "texts": texts, "variants": result}


def golden(tokenizer, gguf):
    extra = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    cases = []
    for text in FIXED + random_texts(40, extra) + BROKEN:
        case = {"hex": text.hex()} if isinstance(text, bytes) else {"text": text}
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        case["ids"] = tokenizer.encode(text, add_special_tokens=False).ids
        with_special = tokenizer.encode(text).ids
        if with_special != case["ids"]:
            case["special"] = with_special
        case["decoded"] = tokenizer.decode(case["ids"])
        cases.append(case)
    rng = random.Random(7)
    size, bytes_at = tokenizer.get_vocab_size(), tokenizer.token_to_id("<0x00>")
    decodes = []
    for i in range(60):
        ids = [rng.randrange(size) for _ in range(rng.choice([1, 2, 5, 20]))]
        if bytes_at is not None and i % 2:
            for byte in rng.choice(["\U0001f600", "\u4f60\u597d", "\u00e9", "\u4f60\ufffd"]).encode()[:rng.choice([2, 3, 4, 9])]:
                ids.insert(rng.choice([0, len(ids)]) if rng.random() < 0.1 else len(ids), bytes_at + byte)
        decodes.append({"ids": ids, "decoded": tokenizer.decode(ids),
                        "plain": tokenizer.decode(ids, skip_special_tokens=False)})
    return {"tokenizer": json.loads(tokenizer.to_str()), "gguf": gguf, "cases": cases, "decodes": decodes}


def write(name, content):
    """One line a field, so that differences can be read."""
    lines = []
    for key, value in content.items():
        items = value if isinstance(value, list) else None
        if items is None:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
        else:
            body = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
            lines.append(f"{json.dumps(key)}: [\n{body}\n]")
    path = OUT / f"{name}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (gpt2, prefix_space, smollm, llama3, qwen2, llama2, mistral, gemma, metaspace, lowercase):
        write(make.__name__, golden(*make()))
    write("variants", variants())


if __name__ == "__main__":
    main()
