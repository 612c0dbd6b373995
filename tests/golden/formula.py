"""Scores that the golden files give as a formula: "score(x,t) = -(x-(0.3))/(1.0+1.0*t)"."""

import ast
import operator

import jax.numpy as jnp

from scoresde_jax.types import Array, ScoreFn, bcast

OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def score(text: str) -> ScoreFn:
    """The score function that "score(x,t) = ..." writes down: arithmetic on x, t and numbers."""
    name, _, formula = text.partition("=")
    if name.replace(" ", "") != "score(x,t)":
        raise ValueError(f"config.score is {text!r}; expected 'score(x,t) = ...'")
    tree = ast.parse(formula.strip(), mode="eval").body

    def score_fn(x: Array, t: Array) -> Array:
        return value(tree, {"x": x, "t": bcast(jnp.asarray(t), x)})

    return score_fn


def value(tree: ast.expr, names: dict[str, Array]) -> Array:
    """The value of an expression; only what is in `OPERATIONS` is understood."""
    match tree:
        case ast.Constant(value=number):
            return number
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATIONS[type(op)](value(operand, names))
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](value(left, names), value(right, names))
    raise ValueError(f"a score may not contain {ast.unparse(tree)!r}")
