"""Break the package on purpose, one small change at a time, and see whether a test notices: make mutants.

python tests/mutants.py                     every change to every module: hours on two cores
python tests/mutants.py lambdarank pairs    changes to these modules
python tests/mutants.py --share 0.1         a tenth of them, drawn at random, always the same

What no test notices is printed. It either needs a test or belongs into EQUIVALENT, with the reason why nobody could
notice. The tests of the book, of Colab and of the training chapter are left out.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
FIRST = {
    "generated": "test_datasets",
    "published": "test_datasets",
    "interactions": "test_negatives",
    "metrics": "test_metrics",
    "sampling": "test_negatives",
    "choosing": "test_negatives",
    "all_pairs": "test_lists",
    "lambdarank": "test_lists",
    "ratings": "test_ratings",
    "modules": "test_modules",
    "partial_credit": "test_partial_credit",
    "checks": "test_errors",
}
THEN = "test_pairs test_errors test_negatives test_partial_credit test_ratings test_lists test_modules test_properties"
THEN = [*THEN.split(), "test_devices", "test_datasets", "test_package"]
EQUIVALENT = {  # "module: the line, before -> after": the reason
    "all_pairs: return max(int(ends[1]).bit_length(), 1), 1 -> 2": "a digit that no rank has parts no pair",
    "all_pairs: return next(digits for digits in (4, 8, 12, 16, 24, 32, 48, 63) if number <= 2**digits), 16 -> 17": (
        "more digits than ranks need part no pair"
    ),
}

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.RShift: ast.LShift, ast.LShift: ast.RShift,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mistakes(node):
    """What could stand in place of a node by mistake."""
    match node:
        case ast.BinOp() | ast.BoolOp() if type(node.op) in SWAPS:
            yield type(node)(**vars(node) | {"op": SWAPS[type(node.op)]()})
        case ast.Compare():
            yield ast.Compare(node.left, [SWAPS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.If() | ast.IfExp():
            yield type(node)(**vars(node) | {"test": ast.UnaryOp(ast.Not(), node.test)})
        case ast.Call(func=ast.Attribute(), args=[], keywords=[]):
            yield node.func.value  # x.detach() becomes x
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()  # a check left out


class Breaker(ast.NodeTransformer):
    """Make the mistake of a given number, and leave annotations, messages and declarations alone."""

    def __init__(self, number):
        self.number, self.seen, self.made = number, 0, None

    def visit(self, node):
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert, ast.arg)):
            return node
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "overload" for d in node.decorator_list):
            return node
        for mistake in mistakes(node):
            self.seen += 1
            if self.seen == self.number:
                first = ast.unparse(node).split("\n")[0], ast.unparse(mistake).split("\n")[0]
                self.made = node.lineno, " -> ".join(first)
                return mistake
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node.value = self.visit(node.value)
            return node
        if isinstance(node, ast.FunctionDef):
            node.body = [self.visit(statement) for statement in node.body]
            node.args.kw_defaults = [default and self.visit(default) for default in node.args.kw_defaults]
            return node
        return self.generic_visit(node)


def broken(source, number):
    """The source with that mistake, its line and what was changed; nothing where there are not so many."""
    breaker = Breaker(number)
    tree = ast.fix_missing_locations(breaker.visit(ast.parse(source)))
    return (ast.unparse(tree), *breaker.made) if breaker.made else None


def noticed(module, text):
    """Whether a test fails on a copy of the package with that text for the module: in a process forked off this one."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    signal.alarm(1200)  # what runs for ever is noticed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pairloss", "tests"):
            shutil.copytree(ROOT / name, f"{folder}/{name}", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "CITATION.cff"):
            shutil.copy(ROOT / name, folder)
        (Path(folder) / module).write_text(text)
        os.chdir(folder)
        sys.path.insert(0, folder)
        first = FIRST.get(Path(module).stem, THEN[0])
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
        options += ["-k", "not inductor and not exports and not test_every_function_works_on_a_device"]
        codes = (pytest.main([f"tests/{name}.py", *options]) for name in dict.fromkeys([first, *THEN]))
        code = next((code for code in codes if code not in (0, 5)), 0)  # 5: none of the tests was asked for
        import pairloss

        assert pairloss.__file__.startswith(folder)
    os._exit(int(code))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--part", default="1/1", help="the k-th of n parts, for n processes side by side: k/n")
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    torch.set_num_threads(1)
    if noticed("pairloss/__init__.py", (ROOT / "pairloss/__init__.py").read_text()):
        sys.exit("the tests fail without a change: run them first")
    drawn, counts = random.Random(0), {"noticed": 0, "equivalent": 0, "survived": 0}
    for path in sorted((ROOT / "pairloss").rglob("*.py")):
        module, source, number = str(path.relative_to(ROOT)), path.read_text(), 0
        while made := broken(source, number := number + 1):
            text, line, what = made
            if (given.modules and path.stem not in given.modules) or drawn.random() > given.share:
                continue
            if number % parts != part - 1:
                continue
            known = f"{path.stem}: {source.splitlines()[line - 1].strip()}, {what}" in EQUIVALENT
            outcome = "equivalent" if known else "noticed" if noticed(module, text) else "survived"
            counts[outcome] += 1
            print(f"\r{module} {number}: {counts}", end="", file=sys.stderr, flush=True)
            if outcome == "survived":
                print(f"\r{module}:{line}: {what}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    sys.exit(counts["survived"] > 0)


if __name__ == "__main__":
    main()
