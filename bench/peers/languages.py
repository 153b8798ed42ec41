"""The thirty rules alone in other rule engines, features given. Each is compiled before it is timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.peers.rules import fused, judged, lambdas, translated

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES_FROM: Final = slice(12, 33)  # of a context: behind the event's fields
FLAGS_FROM: Final = slice(33, 37)
CEL: Final = ((r"\band\b", "&&"), (r"\bor\b", "||"), (r"\bnot \(", "!("))


def _one_list(texts: list[str]) -> str:
    return f"[{', '.join(texts)}]"


def python_fused() -> Any:
    def prepare(context: dict[str, Any]) -> tuple[Any, ...]:
        values = list(context.values())
        return context, values[FEATURES_FROM], values[FLAGS_FROM]

    return prepare, lambda given: fused(*given)


def python_lambdas() -> Any:
    functions = lambdas()
    return dict, lambda context: judged([bool(each(context)) for each in functions])


def zen() -> Any:
    import zen as zen_engine

    texts = translated((), r"startsWith(\1, '\2')", r"matches(\1, '\2')")
    rules = zen_engine.compile_expression(_one_list(texts))  # the context is converted once
    return dict, lambda context: judged(rules.evaluate(context))


def rule_engine() -> Any:
    import rule_engine as engine

    dots = ((r"'10\.'", "'10[.]'"), (r"'192\.168\.'", "'192[.]168[.]'"))
    texts = translated(dots, r"\1 =~ '^\2.*'", r"\1 =~~ '\2'")
    rules = [engine.Rule(text) for text in texts]
    return dict, lambda context: judged([rule.matches(context) for rule in rules])


def cel_python() -> Any:
    import celpy

    environment = celpy.Environment(runner_class=celpy.CompiledRunner)
    texts = translated(CEL, r"\1.startsWith('\2')", r"\1.matches('\2')")
    program = environment.program(environment.compile(_one_list(texts)))

    def prepare(context: dict[str, Any]) -> Any:
        return {name: celpy.json_to_cel(value) for name, value in context.items()}

    return prepare, lambda context: judged(program.evaluate(context))


def common_expression_language() -> Any:
    import cel

    texts = translated(CEL, r"\1.startsWith('\2')", r"\1.matches('\2')")
    program = cel.compile(_one_list(texts))
    return dict, lambda context: judged(program.execute(context))


# Name to (what makes it, contexts that are timed).
LANGUAGES: Final[dict[str, tuple[Callable[[], Any], int]]] = {
    "Python, one fused function": (python_fused, 20_000),
    "Python, 30 lambdas": (python_lambdas, 20_000),
    "zen-engine": (zen, 2_000),
    "common-expression-language": (common_expression_language, 2_000),
    "rule-engine": (rule_engine, 1_000),
    "cel-python, compiled": (cel_python, 200),
}
