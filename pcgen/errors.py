"""Errors that a user can cause. Each says what was expected, what was given and what to do.

The command line prints any :class:`PcgenError` as one line on stderr and exits with 2; every other
exception is a bug and keeps its traceback.
"""

LONGEST = 1500  # characters of a message; its end, which says what to do, is kept


class PcgenError(Exception):
    """Base class of every known error.

    Its text is one line of limited length, even if it quotes damaged files, which may contain line
    breaks and pages of text.
    """

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 300]} ... {text[-300:]}"


class InputError(PcgenError):
    """An argument or a file has the wrong content, shape or value."""


class MeshError(PcgenError):
    """A mesh cannot be used: no faces, zero area, broken indices, NaN."""


class DataError(PcgenError):
    """A data set is missing, empty, damaged or not the one a run was trained on."""


class StorageError(PcgenError):
    """Writing failed: full disk, read-only folder, or another process holds the lock."""


class TrainingError(PcgenError):
    """Training cannot start or continue: NaN, an incompatible run, too few shapes."""


class TransportError(PcgenError):
    """A transport problem is ill-posed, or a solver did not converge."""


class BackendError(PcgenError):
    """A backend was requested by name and does not work on this machine."""


class ToldElsewhere(PcgenError):
    """An error that another process of this job prints; this one exits silently."""


class MissingPackage(PcgenError):
    """An optional package is missing; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; "
            f"install it with: pip install 'pcgen[{extra}]'"
        )
        self.package, self.extra, self.purpose = package, extra, purpose

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return MissingPackage, (self.package, self.extra, self.purpose)
