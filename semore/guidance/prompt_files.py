"""The texts shown to a vision-language model: plain files that a user can replace.

A folder holds `annotate.txt`, `judge.txt` and one `vocabulary_NAME.txt` for each scenario. A vocabulary has one
line `scene: ...`, then one phrase a line; lines that start with `#` are comments. The paper shows its prompts only
as a picture (Fig. 7), so these are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from semore.guidance.phrases import MAX_WORDS, parse_phrases

_VOCABULARY = "vocabulary_"
_NEEDED = {"annotate.txt": ("{scene}",), "judge.txt": ("{action}", "{yes}", "{no}")}


class PromptFileError(ValueError):
    """A prompt file cannot be read or lacks something. One line, with the file and the fix."""


@dataclass(frozen=True)
class ScenarioWords:
    """One scenario's words.

    Attributes:
        scene: a description that fits after "The scene: ".
        phrases: what may be named, in the parser's grammar (`parse_phrases`).
    """

    scene: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Prompts:
    """All texts of one guide.

    Attributes:
        annotate: with the places `{scene}`, `{phrases}` and `{count}`.
        judge: with the places `{action}`, `{yes}` and `{no}`.
        scenarios: by name: jw, hb, hw and the user's own.
    """

    annotate: str
    judge: str
    scenarios: dict[str, ScenarioWords]

    def words(self, scenario: str) -> ScenarioWords:
        """The words of one scenario.

        Raises:
            PromptFileError: if there is no vocabulary of that name.
        """
        if scenario not in self.scenarios:
            known = ", ".join(sorted(self.scenarios))
            raise PromptFileError(
                f"no vocabulary for scenario {scenario!r} (there are {known}): add {_VOCABULARY}{scenario}.txt"
            )
        return self.scenarios[scenario]


def load_prompts(folder: Path | None = None) -> Prompts:
    """Read the prompts.

    Args:
        folder: with the files to use instead of the package's own; those it does not hold stay as they are. None for
            the package's own alone.

    Raises:
        PromptFileError: if the folder is missing or holds a text file of another name (which would be ignored), or
            if a file is not UTF-8 or lacks a place or a scene.
    """
    own = resources.files("semore.guidance") / "prompts"
    texts = {file.name: file.read_text(encoding="utf-8") for file in own.iterdir() if file.name.endswith(".txt")}
    if folder is not None:
        texts |= _user_texts(folder)
    for name, places in _NEEDED.items():
        missing = [place for place in places if place not in texts[name]]
        if missing:
            raise PromptFileError(f"prompt {name} lacks {', '.join(missing)}: write it where the value is to stand")
    scenarios = {
        name.removeprefix(_VOCABULARY).removesuffix(".txt"): _words(name, text)
        for name, text in sorted(texts.items())
        if name.startswith(_VOCABULARY)
    }
    return Prompts(texts["annotate.txt"].strip(), texts["judge.txt"].strip(), scenarios)


def fill(template: str, **values: str) -> str:
    """Put values in their `{places}`. Other braces stay as they are, so that a prompt may show JSON."""
    for place, value in values.items():
        template = template.replace("{" + place + "}", value)
    return template


def _user_texts(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise PromptFileError(f"no prompt folder {folder}: make it or leave `prompts` out")
    texts = {}
    for file in sorted(folder.glob("*.txt")):
        if file.name not in _NEEDED and not file.name.startswith(_VOCABULARY):
            known = ", ".join([*_NEEDED, f"{_VOCABULARY}SCENARIO.txt"])
            raise PromptFileError(f"prompt file {file} would be ignored: rename it to one of {known}")
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptFileError(f"cannot read prompt file {file} as UTF-8 text: {error}") from error
        if "<|" in text:  # a special token in a prompt would end the turn or add a picture
            raise PromptFileError(f"prompt file {file} contains '<|', which starts a special token: remove it")
        texts[file.name] = text
    return texts


def _words(name: str, text: str) -> ScenarioWords:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    scenes = [line.removeprefix("scene:").strip() for line in lines if line.startswith("scene:")]
    phrases = [line for line in lines if not line.startswith("scene:")]
    if len(scenes) != 1 or not scenes[0]:
        raise PromptFileError(f"{name} must have one line 'scene: ...', it has {len(scenes)}")
    _check_phrases(name, phrases)
    return ScenarioWords(scenes[0], tuple(dict.fromkeys(phrases)))


def _check_phrases(name: str, phrases: Sequence[str]) -> None:
    if not phrases:
        raise PromptFileError(f"{name} has no phrases: write one a line")
    for phrase in phrases:
        if parse_phrases(phrase) != (phrase,):
            raise PromptFileError(
                f"{name}: {phrase!r} is not a short noun phrase: use lower-case letters, no article, at most "
                f"{MAX_WORDS} words"
            )
