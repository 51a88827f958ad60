"""What every command says when Ctrl-C ends it, in one shape: how to go on, and what is kept."""

from __future__ import annotations

EXIT_CODE = 130
"""As of a program that SIGINT ends."""

KEPT = {
    "adapt": "Checkpoints are kept.",
    "meta-train": "Checkpoints are kept.",
    "compare": "Checkpoints are kept.",
    "estimate": "What was found of finished networks is kept.",
    "profile": "What was measured is kept.",
    "quickstart": "Finished steps are kept.",
    "relax": "Checkpoints are kept.",
    "search": "Finished candidates are kept.",
    "supernet": "Checkpoints are kept.",
    "train": "Checkpoints are kept.",
}
"""What the commands keep that go on where they were; others begin anew."""

_HOW = {"search": "The same command goes on with --resume."}


class Interrupted(KeyboardInterrupt):
    """A command ended between two steps, since Ctrl-C asked it to.

    Args:
        how: to go on, if that is more than the same command.
    """

    def __init__(self, how: str = "") -> None:
        """Keep how to go on."""
        super().__init__(how)
        self.how = how


def interruption_message(command: str | None, interruption: KeyboardInterrupt) -> str:
    """Return what is said when a command, named `command`, is interrupted."""
    if command not in KEPT:
        return "Interrupted."
    said = interruption.how if isinstance(interruption, Interrupted) else ""
    how = said or _HOW.get(command, "The same command goes on where it was.")
    return f"Interrupted. {how} {KEPT[command]}"
