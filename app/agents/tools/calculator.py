"""The tool `calculator`: arithmetic in decimal numbers, on a syntax tree that is walked and never executed."""

import ast
import math
import operator
import warnings
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException, Overflow, localcontext
from typing import Annotated

from pydantic import Field
from pydantic_ai import ModelRetry, Tool

from app.agents.context import AgentContext
from app.agents.tool import ToolSpec

# Fifty digits and bounded exponents keep every operation short, whatever the model asks for.
_CONTEXT = Context(prec=50, Emax=9999, Emin=-9999)
_MOST_NODES = 400

Number = Decimal


class _NotArithmeticError(ValueError):
    """The expression holds something that is no arithmetic."""


def _power(left: Number, right: Number) -> Number:
    return left**right


def _divide(left: Number, right: Number) -> Number:
    return left / right


def _floor(value: Number) -> Number:
    return value.to_integral_value("ROUND_FLOOR")


def _ceil(value: Number) -> Number:
    return value.to_integral_value("ROUND_CEILING")


def _floor_divide(left: Number, right: Number) -> Number:
    return _floor(left / right)


def _modulo(left: Number, right: Number) -> Number:
    return left - right * _floor_divide(left, right)


def _by_float(function: Callable[[float], float]) -> Callable[[Number], Number]:
    def calculate(value: Number) -> Number:
        try:
            return Decimal(f"{function(float(value)):.15g}")
        except ValueError as error:
            raise ArithmeticError("not defined") from error

    return calculate


def _round(value: Number, digits: Number = Decimal(0)) -> Number:
    return value.quantize(Decimal(1).scaleb(-int(digits)))


def _logarithm(value: Number, base: Number = Decimal(10)) -> Number:
    return value.log10() if base == 10 else value.ln() / base.ln()


_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _modulo,
    ast.Pow: _power,
    ast.BitXor: _power,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": Decimal.__abs__,
    "round": _round,
    "min": min,
    "max": max,
    "sqrt": Decimal.sqrt,
    "exp": Decimal.exp,
    "ln": Decimal.ln,
    "log": _logarithm,
    "log10": Decimal.log10,
    "floor": _floor,
    "ceil": _ceil,
    "sin": _by_float(math.sin),
    "cos": _by_float(math.cos),
    "tan": _by_float(math.tan),
    "asin": _by_float(math.asin),
    "acos": _by_float(math.acos),
    "atan": _by_float(math.atan),
    "degrees": _by_float(math.degrees),
    "radians": _by_float(math.radians),
}
_SIGNS = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-", "\u00b7": "*"})
_CONSTANTS = {"pi": Decimal("3.1415926535897932384626433832795028841971693993751"), "e": _CONTEXT.exp(Decimal(1))}


def evaluate(expression: str) -> str:
    """The value of an arithmetic expression, as text.

    Raises `ValueError` for what is no arithmetic and `ArithmeticError` for what has no value.
    """
    source = expression.strip().translate(_SIGNS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns of odd but readable numbers
            tree = ast.parse(source, mode="eval")
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise _NotArithmeticError("it cannot be read") from error
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise _NotArithmeticError("it is too long")
    with localcontext(_CONTEXT):
        return _written(_value(tree.body, source))


def _value(node: ast.expr, source: str) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return Decimal(value) if isinstance(value, int) else Decimal(ast.get_source_segment(source, node) or value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, source), _value(right, source))
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _call(name, [_value(argument, source) for argument in arguments])
        case _:
            raise _NotArithmeticError(f"{ast.unparse(node)[:60]!r} is no arithmetic")


def _call(name: str, arguments: list[Number]) -> Number:
    try:
        return _FUNCTIONS[name](*arguments)
    except TypeError as error:
        raise _NotArithmeticError(f"{name} does not take {len(arguments)} values") from error


def _written(value: Number) -> str:
    if value == value.to_integral_value() and abs(value) < Decimal("1e50"):
        return str(int(value))
    rounded = Context(prec=28).plus(value).normalize()
    return f"{rounded:f}" if -20 < rounded.adjusted() < 30 else str(rounded)


async def calculator(expression: Annotated[str, Field(max_length=500)]) -> str:
    """Calculate an arithmetic expression exactly.

    Args:
        expression: Numbers with + - * / // % ** and parentheses, the constants pi and e, and the functions abs, round,
            min, max, sqrt, exp, ln, log, floor, ceil, sin, cos, tan. Example: "(2 + 3) * sqrt(16)".
    """
    try:
        return evaluate(expression)
    except (DecimalException, ArithmeticError) as error:
        return f"This has no value: {_reason(error)}."
    except ValueError as error:
        raise ModelRetry(f"This expression cannot be calculated: {error}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "it divides by zero"
    return "it is too large" if isinstance(error, OverflowError | Overflow) else "it is not defined"


TOOL = ToolSpec(tool=Tool[AgentContext](calculator, max_retries=2), scope="Calculates; reaches nothing.")
