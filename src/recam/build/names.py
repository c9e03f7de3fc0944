"""What every catalogue says of a name it does not have."""

import difflib
from collections.abc import Collection

from recam.errors import UserError


def unknown(kind: str, name: str, known: Collection[str]) -> UserError:
    """One sentence with the nearest names that are known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    return UserError(
        f"{kind}: there is no {name!r}; expected one of {len(known)} names, nearest are "
        f"{', '.join(near)}"
    )
