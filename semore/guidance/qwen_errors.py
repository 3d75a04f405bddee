"""The error of everything that can be wrong with a guidance model before it answers."""


class GuidanceModelError(ValueError):
    """A guidance model cannot be loaded or used as asked. One line: what is wrong and what to change."""
