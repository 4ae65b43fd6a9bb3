"""The output of the demo: progress, results, commands with their output, and the timeline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eventalarm.model import Stage
from eventalarm.profile.picture import BAR_WIDTH, bar
from eventalarm.trace import Timeline

# What happens between the previous stage and this one.
MEANING: Final = {
    Stage.GENERATED: "Nova's time stamp",
    Stage.PUBLISHED: "bus, Ceilometer's pipeline",
    Stage.RECEIVED: "our publisher, bus",
    Stage.MATCHED: "alarms of owner matched",
    Stage.COMMITTED: "state and webhook stored",
    Stage.SENT: "request sent",
    Stage.ANSWERED: "consumer answered 200",
}


class Screen:
    """Writes to a terminal; plain text without colours and symbols if *console* is not one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._fancy = console.is_terminal and not console.no_color and console.encoding.startswith("utf")
        self._tick = "✔" if self._fancy else "ok"

    @property
    def fancy(self) -> bool:
        """Return True if symbols and colours can be shown."""
        return self._fancy

    @property
    def width(self) -> int:
        """Characters in a line."""
        return min(self._console.width, 110)

    def title(self, text: str) -> None:
        """Print the title."""
        self._console.print(Text(text, style="bold"))
        self._console.print()

    @contextlib.contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Show *text* while the block runs, if it can be erased afterwards."""
        if self._fancy:
            with self._console.status(text):
                yield
        else:
            yield

    def done(self, text: str, note: str = "") -> None:
        """Print a completed step."""
        line = Text(f"{self._tick} ", style="green")
        line.append(text, style="default")
        if note:
            line.append(f"  {note}", style="bold cyan")
        self._console.print(line, soft_wrap=True)

    def command(self, line: str, output: str) -> None:
        """Print a command and its output."""
        self._console.print()
        self._console.print(Text(f"$ {line}", style="bold"), soft_wrap=True)
        self._console.print(Text(output.rstrip()), soft_wrap=True)
        self._console.print()

    def timeline(self, title: str, timeline: Timeline) -> None:
        """Draw one bar for each stage, from the end of the previous stage to its end."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("", no_wrap=True, min_width=max(map(len, Stage)))
        table.add_column("took ms", justify="right", no_wrap=True, min_width=7)
        table.add_column("", no_wrap=True, min_width=BAR_WIDTH)
        table.add_column("at ms", justify="right", no_wrap=True, min_width=6)
        table.add_column("", style="dim", no_wrap=True)
        before = 0.0
        for stage, at in timeline.ms.items():
            drawn = bar(before, at, timeline.total, fine=self._fancy)
            took = "" if stage is Stage.GENERATED else f"{at - before:.1f}"
            table.add_row(stage, took, Text(drawn, style="cyan"), f"{at:.1f}", MEANING[stage])
            before = at
        self._console.print(Text(title, style="bold"))
        self._console.print(table)

    def text(self, text: str) -> None:
        """Print *text* unchanged."""
        self._console.print(Text(text), soft_wrap=True)
