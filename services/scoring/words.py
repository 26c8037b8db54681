"""This file fits names into short sentences."""

HEADLINE = 60
"""A mail's subject also holds the customer, the money and the odds."""

SHORT = 40


def shortened(name: str, most: int = SHORT) -> str:
    """A name cut at a word's end, with an ellipsis where something is missing."""
    if len(name) <= most:
        return name
    cut = name[:most]
    last_blank = cut.rfind(" ")
    return (cut[:last_blank] if last_blank > most // 2 else cut[:-1]).rstrip(" ,;-") + "…"


def headline(*words: str) -> str:
    """Join words and names, at most sixty characters: every second one is a name and gives way."""
    fixed = sum(len(each) for each in words[::2]) + len(words) - 1
    names = words[1::2]
    room = (HEADLINE - fixed) // max(len(names), 1)
    return " ".join(shortened(each, room) if place % 2 else each for place, each in enumerate(words))
