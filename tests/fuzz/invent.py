"""Texts that nobody would write: mutations of good ones, and joined pieces of them. The same ones for the same seed."""

import re

_PIECE = re.compile(r"\w+|\s+|.", re.DOTALL)
NASTY = (
    *(
        "",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\n\n",
        "\0",
        "\x1b[2J",
        "\x1c",
        "\x85",
        "\xa0",
        "\u2028",
        "\u3000",
        "\ufeff",
        "\u202e",
    ),
    *(
        "\u200b",
        "\ud800",
        "\udfff",
        "\U0010ffff",
        "e\u0301",
        "9" * 30,
        "9" * 400,
        "1" * 5000,
        "[" * 300,
        "{" * 50,
        "- " * 40,
    ),
    *[
        "٣",
        "²",
        "½",
        "Ⅷ",
        "０",
        "ß",
        "İ",
        "K",
        "ſ",
        "-",
        "--",
        "+",
        "+1",
        "-1",
        "-0",
        "0",
        "00",
        "000",
        "007",
        "1",
        "9",
        "31",
        "32",
        "59",
        "60",
        "366",
        "367",
        "1e9",
        "1_0",
        "0x1f",
        "1.5",
        "NaN",
        "Infinity",
    ],
    *[
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "null",
        "true",
        "none",
        "never",
        "!!int",
        "&a",
        "*a",
        "<<",
    ],
    *[
        ",",
        ",,",
        ":",
        "::",
        ";",
        "=",
        "==",
        "@",
        "@@",
        "/",
        "//",
        "../",
        "#",
        "|",
        "*",
        "?",
        "%",
        "%d",
        "%%",
        "%s",
        "{",
        "}",
        "[",
        "]",
        "{{",
        "}}",
        "{%",
        "{#",
        "#}",
        "(",
        ")",
        "'",
        '"',
        "\\",
    ],
)


def pieces(seeds):
    """The words and marks of texts, each once."""
    return sorted({piece for seed in seeds for piece in _PIECE.findall(seed)})


def mutated(random, seeds, words):
    """A good text with one to four changes, or words in a row."""
    if random.random() < 0.1:
        return "".join(random.choice(words if random.random() < 0.8 else NASTY) for _ in range(random.randint(0, 12)))
    text = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        text = _changed(random, text, seeds, words)
    return text


def _changed(random, text, seeds, words):
    begin = random.randint(0, len(text))
    end = min(len(text), begin + random.choice((0, 0, 1, 1, 2, 3, 8, 40)))
    kind = random.randrange(7)
    if kind == 0:
        middle = ""
    elif kind == 1:
        middle = text[begin:end] * random.choice((2, 3, 20))
    elif kind == 2:
        middle = random.choice(NASTY)
    elif kind == 3:
        middle = random.choice(words)
    elif kind == 4:
        middle = chr(random.choice((random.randrange(128), random.randrange(0x110000))))
    elif kind == 5:
        other = random.choice(seeds)
        cut = random.randint(0, len(other))
        middle = other[cut : cut + random.choice((3, 10, 60))]
    else:
        middle = text[begin:end].swapcase()[::-1]
    return text[:begin] + middle + text[end:]


HUGE = 1_000_000


def hostile(seeds):
    """Texts of a megabyte, deep nesting, and what makes readers slow."""
    yield from (char * HUGE for char in "0- \n,:;@=#{['\"a\\%*\0\u202e٣")
    yield from (
        (word * (HUGE // len(word))) for word in ("- ", "a:", "a=1\n", "{{", "}}", "[{", "1-", "@d, ", "é\n", "x/")
    )
    for seed in seeds:
        yield seed * (HUGE // len(seed) // 10 + 1)
        yield (seed + "\n") * 2000
        yield seed + " " * HUGE
        yield " " * HUGE + seed
        yield re.sub(r"[0-9]+", "9" * 100_000, seed)
        yield re.sub(r"[0-9]+", "0" * 100_000 + "1", seed)
        yield re.sub(r"\w+", lambda match: match[0] * 10_000, seed)
        yield re.sub(r"[^\w\s]", lambda match: match[0] * 10_000, seed)
