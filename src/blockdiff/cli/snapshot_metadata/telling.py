"""What is said beside the output proper."""

from __future__ import annotations

import json

import click

from blockdiff.cli.streams import say


class Telling:
    """Remarks for people; where errors are JSON (``-o json``, ``jsonl``) remarks on stderr are too."""

    def __init__(self, output: str, *, quiet: bool) -> None:
        self._output, self._quiet = output, quiet

    def resumed(self, text: str) -> None:
        """A stream broke and is taken up again."""
        if self._quiet:
            return
        if self._output in ("json", "jsonl"):
            say(json.dumps({"event": "resumed", "message": text}))
        else:
            say(f"blockdiff: {text}")

    def result(self, text: str) -> None:
        """The sums: below a list for people, beside one for programs."""
        if not self._quiet:
            click.echo(text, err=self._output != "human")
