"""The mutants are of the code as it is; `make mutate` tries them."""

from tests import mutate


def test_every_formula_is_where_its_mutant_changes_it():
    assert len(mutate.MUTANTS) > 150
    for mutant in mutate.MUTANTS:
        text = (mutate.ROOT / "scoresde_jax" / mutant.file).read_text()
        assert mutate.place(mutant, text) is not None, mutant
        assert mutant.new != mutant.old
        assert all((mutate.ROOT / "tests" / name).exists() for name in mutant.tests.split())
