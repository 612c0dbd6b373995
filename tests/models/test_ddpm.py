"""What DDPM refuses. That it equals the 2021 network is checked with the golden files."""

import pytest

from scoresde_jax.models import DDPM


@pytest.mark.parametrize("field", ["normalization", "activation"])
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"DDPM\.{field} is 'nonesuch'; known are '"):
        DDPM(**{field: "nonesuch"})
