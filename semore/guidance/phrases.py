"""From whatever a language model wrote to a few clean noun phrases: a total function, safe for any input."""

from __future__ import annotations

import re
import unicodedata

# Our constants. A phrase names one kind of thing; longer ones are sentences, which no segmenter understands.
MAX_PHRASES = 8
MAX_WORDS = 6
MAX_WORD_LETTERS = 20
MIN_LETTERS = 2
MAX_TEXT_CHARACTERS = 2000
"""Only so much of a text is read, so that time and memory stay bounded."""

_POSSESSIVE = re.compile(r"(?<=[a-z])['’](?=s\b)")
# Everything that may stand between phrases: ASCII but letters, space and hyphen; typographic marks; other blanks.
_SEPARATORS = re.compile(r"[\x00-\x1f!-,./0-9:-`{-\x9f«»‘’“”„–—…•·、。「」『』\u2028\u2029]+|\s-+\s|--+")
_AND = re.compile(r"\b(?:and|or|as well as)\b")
_PHRASE = re.compile(r"[a-z]+(?:[ -][a-z]+)*")

_ARTICLES_AND_NUMBERS = "a an the some any one two three four five several many few another its his her their"
# A piece with one of these is a sentence, an apology, an order or a wrapper's key, not the name of a thing.
_SENTENCE_WORDS = """
    i me my you your we us our he she they them it this that these those there here who what which
    is are was were be been am has have had do does did can could will would shall should may might must
    not no none nothing nobody please sorry sure okay yes unable cannot dont
    ignore disregard forget pretend instruction instructions prompt system assistant user answer output print return
    reasonable unreasonable json python markdown import def class null true false undefined nan
    object objects phrase phrases list item items label labels name names description response result
    if because when while so but then however
"""
_LEADING = frozenset(_ARTICLES_AND_NUMBERS.split())
_NOT_IN_A_NAME = frozenset(_SENTENCE_WORDS.split())


def parse_phrases(text: str, max_phrases: int = MAX_PHRASES) -> tuple[str, ...]:
    """The noun phrases in a model's answer, in order, each once. Never raises for any string.

    Lists, JSON, Markdown and prose are all read alike: the text is cut at punctuation, digits and line ends, and
    the pieces that look like names are kept. Nothing is evaluated. A piece with a letter outside a to z is dropped,
    because the segmenters read English.

    Args:
        text: any string; what lies beyond `MAX_TEXT_CHARACTERS` is not read.
        max_phrases: at most so many phrases.

    Returns:
        Phrases of 1 to `MAX_WORDS` words of lower-case letters a to z, joined by single spaces or hyphens,
        without a leading article.
    """
    # NFKC unfolds one character into at most 18, and so the text is cut again.
    lowered = unicodedata.normalize("NFKC", text[:MAX_TEXT_CHARACTERS]).lower()[:MAX_TEXT_CHARACTERS]
    found: dict[str, None] = {}
    for piece in _SEPARATORS.split(_POSSESSIVE.sub("", lowered)):
        for part in _AND.split(piece):
            phrase = _name(part)
            if phrase is not None:
                found[phrase] = None
            if len(found) == max_phrases:
                return tuple(found)
    return tuple(found)


def _name(part: str) -> str | None:
    """One phrase from one piece, None if it is not a name."""
    words = part.strip(" -").split()
    while words and words[0] in _LEADING:
        words = words[1:]
    phrase = " ".join(words)
    bare = re.split("[ -]", phrase)
    fits = (
        _PHRASE.fullmatch(phrase) is not None
        and len(bare) <= MAX_WORDS
        and sum(map(len, bare)) >= MIN_LETTERS
        and max(map(len, bare)) <= MAX_WORD_LETTERS
        and _NOT_IN_A_NAME.isdisjoint(bare)
    )
    return phrase if fits else None
