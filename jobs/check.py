"""What `tokensieve doctor` says about one thing that it looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. `needed` is False for what only some machines need: then not ok is a warning."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
