"""Fit names into short sentences."""

from functools import lru_cache

REMEMBERED = 10_000
"""The same few thousand products are named again and again."""

HEADLINE = 60
"""A mail's subject also holds the customer, the money and the odds."""

SHORT = 40
LEAST = 14
"""What even a name that gives way keeps of itself."""

DANGLING = frozenset("a and by for in of or pack set the with x".split())


@lru_cache(REMEMBERED)
def shortened(name: str, most: int = SHORT) -> str:
    """A name cut at a word's end, with an ellipsis where something is missing; it never ends on "box of 50"."""
    if len(name) <= most:
        return name
    cut = name[:most]
    words = cut.rsplit(" ", 1)[0].split(" ") if " " in cut[most // 2 :] else [cut[:-1]]
    while len(words) > 2 and (words[-1].lower() in DANGLING or words[-1].isdigit()):
        words.pop()
    return " ".join(words).rstrip(" ,;-") + "…"


@lru_cache(REMEMBERED)
def headline(*words: str) -> str:
    """Join words and names, at most sixty characters. Every second one is a name; the last gives way least."""
    names = list(words[1::2])
    room = HEADLINE - (len(_joined(words)) - sum(map(len, names)))
    for place in reversed(range(len(names))):
        names[place] = shortened(
            names[place], max(room - sum(min(len(each), LEAST) for each in names[:place]), 2)
        )
        room -= len(names[place])
    return _joined([names[place // 2] if place % 2 else each for place, each in enumerate(words)])


def _joined(words: list[str] | tuple[str, ...]) -> str:
    return " ".join(words).replace(" ,", ",")


def variant(name: str, of: str) -> str:
    """What sets a name apart from another of the same make: "6.0 mm" beside "Cable 1.5 mm". Else the name itself."""
    words, others = name.split(), of.split()
    same = next(
        (place for place, (word, other) in enumerate(zip(words, others, strict=False)) if word != other),
        min(len(words), len(others)),
    )
    return " ".join(words[same:]) if 2 <= same < len(words) else name


def readable(name: str) -> str:
    """A name that an old system wrote in capitals, as people write it. A code without blanks stays as it is."""
    name = " ".join(name.split())
    return name.capitalize() if " " in name and name.isupper() else name
