"""Embedded pairs of explicit Runge-Kutta formulas, for `ode.py`: numbers only.

Those here are "first same as last": the derivative at the end of a step is the last stage, and the
first of the next step.
"""

from typing import NamedTuple


class Pair(NamedTuple):
    """An embedded Runge-Kutta pair whose last stage is the derivative at the end of the step."""

    a: tuple[tuple[float, ...], ...]  # row i: weights of stages 0..i-1 in stage i; the last row
    # gives the solution, so its stage begins the next step ("first same as last")
    c: tuple[float, ...]  # times of the stages
    error: tuple[float, ...]  # weights of the solution minus those of the embedded one
    order: int  # of the solution

    @property
    def idle(self) -> tuple[int, ...]:
        """Stages that neither the solution nor its error contain; they only lead to later ones."""
        weights = (*self.a[-1], 0.0)
        return tuple(i for i in range(1, len(self.c)) if not (weights[i] or self.error[i]))


# Bogacki & Shampine 1989, "A 3(2) pair of Runge-Kutta formulas".
BOGACKI_SHAMPINE = Pair(
    a=((), (1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    c=(0, 1 / 2, 3 / 4, 1),
    error=(-5 / 72, 1 / 12, 1 / 9, -1 / 8),
    order=3,
)
# Dormand & Prince 1980, table 2.
DORMAND_PRINCE = Pair(
    a=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    c=(0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    error=(71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
    order=5,
)
# Tsitouras 2011, "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
# assumption", table 1; to the digits of a double.
TSITOURAS = Pair(
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ),
        (
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
        ),
    ),
    c=(0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1),
    error=(
        0.0017800110522257773,
        0.0008164344596567463,
        -0.007880878010261994,
        0.1447110071732629,
        -0.5823571654525552,
        0.45808210592918686,
        -1 / 66,
    ),
    order=5,
)
