"""Options of the commands that run bundles: whose bundles may be run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.errors import ConfigError

if TYPE_CHECKING:
    from hwnas.bundle.signature import Trust

RequireSignature = Annotated[
    bool, typer.Option("--require-signature", help="Refuse bundles that --identity did not sign.")
]
AllowedSigners = Annotated[
    Path | None,
    typer.Option(help="File of keys that may sign, IDENTITY KEYTYPE KEY a line; see ssh-keygen(1)."),
]
Identity = Annotated[str | None, typer.Option(help="Who must have signed, as in --allowed-signers.")]


def trust_of(*, require_signature: bool, allowed_signers: Path | None, identity: str | None) -> Trust | None:
    """Return who must have signed; None where any bundle is taken.

    Raises:
        ConfigError: if only some of the three options are given: a check that is left out must not look done.
    """
    given = (require_signature, allowed_signers is not None, identity is not None)
    if not any(given):
        return None
    if allowed_signers is None or identity is None or not require_signature:
        raise ConfigError(
            "`--require-signature`, `--allowed-signers FILE` and `--identity NAME` go together: the "
            "file says which keys may sign, the name says whose signature is wanted."
        )
    from hwnas.bundle.signature import Trust

    return Trust(allowed_signers, identity)
