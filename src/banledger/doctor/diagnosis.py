"""What a check found, and how to put it right."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Verdict(StrEnum):
    """Of a diagnosis, from good to bad.

    WELL     nothing to do
    UNSEEN   it can't be looked at: that needs root, or something else that is wrong
    CAUTION  bans are recorded, but something is not as it should be
    WRONG    bans are not recorded, or will not be, or can be lost
    """

    WELL = "well"
    UNSEEN = "unseen"
    CAUTION = "caution"
    WRONG = "wrong"


_ORDER = tuple(Verdict)


class Diagnosis(Struct, frozen=True):
    """found: in plain words. remedy: a command for a root shell, or empty."""

    verdict: Verdict
    found: str
    remedy: str = ""


def well(found: str) -> Diagnosis:
    """Nothing to do."""
    return Diagnosis(Verdict.WELL, found)


def unseen(why: str) -> Diagnosis:
    """It was not looked at."""
    return Diagnosis(Verdict.UNSEEN, why)


def caution(found: str, remedy: str = "") -> Diagnosis:
    """Not as it should be."""
    return Diagnosis(Verdict.CAUTION, found, remedy)


def wrong(found: str, remedy: str = "") -> Diagnosis:
    """A fault."""
    return Diagnosis(Verdict.WRONG, found, remedy)


def together(diagnoses: Iterable[Diagnosis], otherwise: Diagnosis) -> Diagnosis:
    """All diagnoses as one, with the worst verdict and each remedy once; `otherwise` if there are none."""
    bad = [one for one in diagnoses if one.verdict is not Verdict.WELL]
    if not bad:
        return otherwise
    worst = max((one.verdict for one in bad), key=_ORDER.index)
    remedies = dict.fromkeys(one.remedy for one in bad if one.remedy)
    return Diagnosis(worst, "; ".join(one.found for one in bad), " && ".join(remedies))
