#!/usr/bin/env python3
"""Writes tests/lab/token/golden/: small tokenizers trained by Hugging Face's tokenizers, and what it makes of texts.

    pip install tokenizers==0.23.3 ; scripts/peers/token_golden.py

For each NAME:
    NAME.tokenizer.json   as tokenizers saves it
    NAME.golden.json      {"cases": [[text, [ids], [bytes of each piece]], ...],
                           "alone", "among": crc32 in hex, one a block of 256 scalar values,
                           "letters": the representatives, "triples": crc32 of each pair of them with any third}
A crc is over little-endian int32: of each text its ids, -1, the bytes of its pieces, -2. Pieces are what the
pre-tokenizer leaves, so that a border in the wrong place is seen where no merge would show it.
"""
import itertools
import json
import os
import random
import struct
import sys
import unicodedata
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "lab", "token", "golden")

SENTENCES = """
The quick brown fox doesn't jump over 12 lazy dogs, and they've said it's 3.14159 or 2,718,281 times more.
I'll go; you'd stay; we're here. DON'T SHOUT: IT'S LATE! He said “don’t” and they’ll know it’s typographic.
Der schnelle braune Fuchs springt über den faulen Hund, und Größe zählt nicht für Ärger.
Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë au delà des îles.
Съешь же ещё этих мягких французских булок, да выпей чаю. В лесу родилась ёлочка.
Η καλημέρα δεν είναι μόνο για το πρωί, αλλά για όλη την ημέρα.
天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。我能吞下玻璃而不伤身体。
いろはにほへと ちりぬるを。私はガラスを食べられます。カタカナも書きます。
나는 유리를 먹을 수 있어요. 그래도 아프지 않아요.
أنا قادر على أكل الزجاج و هذا لا يؤلمني. ١٢٣٤ مرة
אני יכול לאכול זכוכית וזה לא מזיק לי.
मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती. १२३४
ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ
Tôi có thể ăn thủy tinh mà không hại gì. Việt Nam đất nước.
def f(x):\n    if x == 0:\n        return [1, 2, 3]\n\treturn {'a': x ** 2, "b": x // 7}\n\n\n
int main(void)\r\n{\r\n    printf("%d\\n", 42);   /* done */\r\n}\r\n
😀 👍🏽 👨‍👩‍👧‍👦 ❤️ 🇩🇪 smile ☺ tick ✓ note ♫ sum ∑ arrow → euro € pound £
cafe\u0301 nai\u0308ve A\u030a \u1100\u1161\u11a8 \u0b47\u0b3e q\u0323\u0307 \u212b \u2126
""".strip("\n").split("\n")


def corpus():
    """The same text on every machine: sentences, and their words shuffled."""
    lines = [line.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t") for line in SENTENCES]
    words = [word for line in lines for word in line.split(" ") if word]
    rng = random.Random(7)
    text = []
    for _ in range(400):
        text.append(rng.choice(lines))
        text.append(" ".join(words[int(rng.random() * len(words))] for _ in range(20)) + rng.choice(["\n", "\n\n", " "]))
    return "\n".join(text)


def train(normalizer, pre_tokenizer, special, vocab=1500):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([corpus()], trainer)
    return tokenizer


def changed(tokenizer, change):
    tree = json.loads(tokenizer.to_str())
    change(tree)
    return Tokenizer.from_str(json.dumps(tree))


def gpt2():
    return train(None, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])


def prefix():
    """GPT-2 with a space before each part, merges as "a b", and marks around a text, as RoBERTa has them."""
    tokenizer = train(None, pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>", "<mask>"], 700)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))

    def old_spelling(tree):
        tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
        tree["added_tokens"][2]["lstrip"] = True
    return changed(tokenizer, old_spelling)


def llama3():
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")
    tokenizer = train(None, pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)]),
                      ["<|begin_of_text|>", "<|end_of_text|>"])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", 0)])])

    def whole_pieces(tree):
        # Tokens that no merge makes: with ignore_merges they are found all the same.
        tree["model"]["ignore_merges"] = True
        vocab = tree["model"]["vocab"]
        for word in ("Ġzymurgy", "zzzz", "ĠÅĳ", "Ġ!!!!!!!!"):
            vocab[word] = len(vocab)
    return changed(tokenizer, whole_pieces)


def qwen2():
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    tokenizer = train(normalizers.NFC(), pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)]),
                      [])
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    return tokenizer


def smollm():
    return train(None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                pre_tokenizers.ByteLevel(add_prefix_space=False)]),
                 ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def added():
    """Added tokens of every kind, overlapping; a vocabulary without some bytes; NFC."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(["the cat sat on the mat, the hat\n" * 20],
                                  trainers.BpeTrainer(vocab_size=60, show_progress=False))
    tokenizer.add_special_tokens(["<a>", "<a><b>", "<b>", "<b><c><d>", "<c>"])
    tokenizer.add_tokens([
        AddedToken("LEFT", lstrip=True, normalized=False), AddedToken("RIGHT", rstrip=True, normalized=False),
        AddedToken("BOTH", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True),
        AddedToken("caf\u00e9", normalized=True), AddedToken("na\u00efve", normalized=False),
        AddedToken("e\u0301", normalized=True), AddedToken(" ", rstrip=True, normalized=False),
        AddedToken("\u3042\u3044", normalized=False), AddedToken("\u3042", normalized=False),
        AddedToken("wordy", normalized=False), AddedToken("\u00e9\u00e9", normalized=False)])
    return tokenizer


# One or two of each class, and those that some rule names.
LETTERS = ["a", "s", "T", "é", "ſ", "я", "文", "ก", "ª", "1", "9", "²", "٣", "Ⅷ", "\U00011de0", " ", "\t", "\n", "\r", "\u00a0",
           "\u2028", "\u3000", "\u0085", "'", "’", "!", "-", "€", "😀", "\u0301", "\u0345", "\u093e", "\u200d", "\u0000",
           "\ufeff", "\ue000", "\u0378", "가", "\u11a8", "\U0010ffff"]
TRIPLE_LETTERS = [c for c in LETTERS if c != "\u0000"]


def explicit_texts():
    rng = random.Random(11)
    yield from (a + b for a in TRIPLE_LETTERS for b in TRIPLE_LETTERS)
    yield from ("x" + a + b + "y" for a in TRIPLE_LETTERS for b in TRIPLE_LETTERS)
    for tail in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'lx", "'r", "'v", "'l", "'ſ", "'x"):
        for form in (tail, tail.upper(), tail.title(), tail.replace("'", "’"), tail[:-1] + tail[-1].upper()):
            yield from (form, "it" + form, "it" + form + "a", " " + form, "'" + form, "1" + form + "\n", form + form)
    for count in range(1, 12):
        yield from ("1" * count, "a" + "7" * count + "b", " " + "٣" * count, "12" * count + ".5", "²" * count)
    spaces = [" ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u3000", "\u2003", "\u0085", "\x0b"]
    for count in range(1, 7):
        yield from (before + space * count + after for space in spaces for before in ("", "a", "!") for after in ("", "b", "!", "1"))
    for _ in range(600):
        yield "".join(rng.choice(spaces + ["a", "!"]) for _ in range(rng.randrange(2, 9)))
    for _ in range(900):
        yield "".join(rng.choice(TRIPLE_LETTERS) for _ in range(rng.randrange(3, 24)))
    for text in ("a", " ", "ab", "é", "1", "!", "\n", "a ", "文", "\u0301"):
        yield from (text * count for count in (39, 40, 41, 100, 1000))
    yield from SENTENCES
    yield corpus()[:4000]
    marks = ["\u0301", "\u0323", "\u0345", "\u0334", "\u3099", "\u0b3e", "\u11a8", "\u1161", "\u0338", "\u05b0", "\u0300"]
    bases = ["a", "e", "\u1100", "\uac00", "\u0b47", "か", "<", "\u212b", "\u1e9b", "\u0344", "\u0958", "\ufb1d", "\u1d15e"]
    for _ in range(600):
        yield "".join(rng.choice(marks if rng.random() < 0.7 else bases) for _ in range(rng.randrange(2, 10)))


def added_texts(tokenizer):
    rng = random.Random(13)
    contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    pieces = contents + [content[:-1] for content in contents if len(content) > 1] + \
        [content[1:] for content in contents if len(content) > 1] + [" ", "  ", "\n", "x", "_", "1", "\u3000", "!", "e\u0301"]
    for _ in range(1500):
        yield "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9)))


class Peer:
    def __init__(self, tokenizer):
        self.tokenizer, self.vocab = tokenizer, tokenizer.get_vocab_size()

    def pieces(self, text):
        if self.tokenizer.normalizer:
            text = self.tokenizer.normalizer.normalize_str(text)
        return [len(piece) for piece, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(text)] if text else []

    def ids(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def crc(self, texts):
        crc = 0
        for text, ids in zip(texts, self.ids(texts)):
            row = [*ids, -1, *self.pieces(text), -2]
            crc = zlib.crc32(struct.pack(f"<{len(row)}i", *row), crc)
        return f"{crc:08x}"


def blocks(form):
    for first in range(0, 0x110000, 256):
        yield [form.replace("#", chr(c)) for c in range(first, first + 256) if not 0xD800 <= c < 0xE000]


def golden(name, tokenizer):
    peer = Peer(tokenizer)
    texts = list(dict.fromkeys(itertools.chain(explicit_texts(), added_texts(tokenizer))))
    cases = [[text, ids, peer.pieces(text)] for text, ids in zip(texts, peer.ids(texts))]
    tree = {"version": f"tokenizers {__import__('tokenizers').__version__}", "cases": cases, "letters": TRIPLE_LETTERS,
            "triples": "".join(peer.crc([a + b + c for c in TRIPLE_LETTERS]) for a in TRIPLE_LETTERS for b in TRIPLE_LETTERS)}
    around = tokenizer.encode("the cat").ids
    tree["around"] = around
    if name != "added":  # its bytes are too few to say much
        tree["alone"] = "".join(peer.crc(texts) for texts in blocks("#"))
        tree["among"] = "".join(peer.crc(texts) for texts in blocks("x#y #!#1#1 #\n# '#"))
    with open(os.path.join(FOLDER, f"{name}.golden.json"), "w", encoding="utf-8") as file:
        json.dump(tree, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")
    tokenizer.save(os.path.join(FOLDER, f"{name}.tokenizer.json"), pretty=False)
    print(f"{name}: {peer.vocab} tokens, {len(cases)} cases")


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "corpus.txt"), "w", encoding="utf-8", newline="") as out:
        out.write(corpus())
    for make in (gpt2, prefix, llama3, qwen2, smollm, added):
        if len(sys.argv) == 1 or make.__name__ in sys.argv[1:]:
            golden(make.__name__, make())
