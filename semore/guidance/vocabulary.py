"""Decoding held to a vocabulary: a model may only write phrases of a list, each once, separated, and then end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

NOTHING = "none"
"""What the model writes instead of a phrase if there is nothing to name. The prompt asks for the same word."""

_NOTHING_INDEX = -1


@dataclass
class _Node:
    """A place in a trie of token ids.

    Attributes:
        children: the nodes after one more token.
        phrase: index of the phrase that is complete here, None if none is.
        below: indices of the phrases that are complete here or further on.
    """

    children: dict[int, _Node] = field(default_factory=dict)
    phrase: int | None = None
    below: set[int] = field(default_factory=set)

    def insert(self, tokens: Sequence[int], phrase: int) -> None:
        node = self
        node.below.add(phrase)
        for token in tokens:
            node = node.children.setdefault(token, _Node())
            node.below.add(phrase)
        node.phrase = phrase


@dataclass(frozen=True)
class _Written:
    """What some tokens say: `said` phrases are complete, `node` is where the next one stands, None after the end."""

    said: frozenset[int]
    order: tuple[int, ...]
    node: _Node | None


class Vocabulary:
    """Which token may follow, for answers `phrase, phrase, ...` made of a list's phrases, or `none`.

    Args:
        phrases: what may be named; no commas.
        encode: text to token ids, without special tokens.
        end: id of the token that ends an answer.
        max_phrases: at most so many phrases in one answer.

    Raises:
        ValueError: if there is no phrase, if the comma is not one token, or if two phrases have the same tokens.
    """

    def __init__(
        self, phrases: Sequence[str], encode: Callable[[str], Sequence[int]], end: int, max_phrases: int
    ) -> None:
        if not phrases or max_phrases < 1:
            raise ValueError("a vocabulary needs at least one phrase, and at least one must be allowed in an answer")
        comma = encode(",")
        if len(comma) != 1:
            raise ValueError(f"the tokenizer writes ',' as {len(comma)} tokens, one is needed to separate phrases")
        self._phrases, self._end, self._max_phrases = tuple(phrases), end, max_phrases
        self._comma = comma[0]
        # Tokenizers of this kind write a word after a space with other tokens than at the start of an answer.
        self._first, self._later = _Node(), _Node()
        lengths = []
        for index, phrase in enumerate(phrases):
            first, later = encode(phrase), encode(" " + phrase)
            self._first.insert(first, index)
            self._later.insert(later, index)
            lengths.append(max(len(first), len(later)))
        self._first.insert(encode(NOTHING), _NOTHING_INDEX)
        _check_distinct(self._first, len(phrases) + 1)
        _check_distinct(self._later, len(phrases))
        longest = sorted(lengths, reverse=True)[:max_phrases]
        self.max_tokens = max(sum(longest) + len(longest), len(encode(NOTHING)) + 1)
        """The longest possible answer, separators and end included: generation with this limit is never cut."""

    def allowed(self, tokens: Sequence[int]) -> list[int]:
        """Ids that may follow an answer's tokens so far; never empty. After the end, the end again.

        Raises:
            ValueError: if the tokens are not the beginning of an answer.
        """
        written = self._read(tokens)
        node = written.node
        if node is None:
            return [self._end]
        choices = [token for token, child in node.children.items() if child.below - written.said]
        if node.phrase is not None and node.phrase not in written.said:
            choices.append(self._end)
            spoken = written.said | {node.phrase}
            more = len(spoken) < min(self._max_phrases, len(self._phrases))
            if node.phrase != _NOTHING_INDEX and more:
                choices.append(self._comma)
        return choices

    def phrases(self, tokens: Sequence[int]) -> tuple[str, ...]:
        """The phrases of an answer, in its order. A last phrase that was cut off is left out.

        Raises:
            ValueError: if the tokens are not the beginning of an answer.
        """
        return tuple(self._phrases[index] for index in self._read(tokens).order if index != _NOTHING_INDEX)

    def _read(self, tokens: Sequence[int]) -> _Written:
        order: list[int] = []
        node = self._first
        for token in tokens:
            if token in node.children:
                node = node.children[token]
                continue
            if token not in (self._end, self._comma) or node.phrase is None or node.phrase in order:
                raise ValueError(f"token {token} cannot stand in an answer after {len(order)} phrases")
            order.append(node.phrase)
            if token == self._end:
                return _Written(frozenset(order), tuple(order), None)
            node = self._later
        return _Written(frozenset(order), tuple(order), node)


def _check_distinct(root: _Node, expected: int) -> None:
    """Two phrases with the same tokens would share a node, and the later would hide the earlier."""

    def complete(node: _Node) -> int:
        return (node.phrase is not None) + sum(complete(child) for child in node.children.values())

    if complete(root) != expected:
        raise ValueError("two phrases of the vocabulary have the same tokens in this tokenizer")
