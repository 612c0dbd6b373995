"""The first signal is noted, the second does what it always did."""

import os
import signal

import pytest

from scoresde_jax import training

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_next_is_not_held_back(number):
    before = [signal.getsignal(n) for n in SIGNALS]
    with training.StopSignals() as stop:
        assert stop.received == 0
        os.kill(os.getpid(), number)
        assert stop.received == number
        assert [signal.getsignal(n) for n in SIGNALS] == before
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_a_second_interrupt_interrupts(request):
    # Python leaves it to be ignored where the shell does, as for a command in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt), training.StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back_after_an_error():
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(ZeroDivisionError), training.StopSignals():
        1 / 0  # noqa: B018
    assert [signal.getsignal(n) for n in SIGNALS] == before
