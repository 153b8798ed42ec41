"""Hopcroft's algorithm: the smallest automaton for the same texts, O(classes * states * log states)."""

from __future__ import annotations

from collections import defaultdict

from frmcore.policy.regex.dfa import DEAD, MATCHED, ByteDfa


def minimise(dfa: ByteDfa) -> ByteDfa:
    """Equal states and equal byte classes become one. States are numbered as a walk from the start meets them."""
    block_of = _partition(dfa)
    member = {block: state for state, block in enumerate(block_of)}
    number = {block_of[DEAD]: DEAD, block_of[MATCHED]: MATCHED}
    order = [block_of[DEAD], block_of[MATCHED], block_of[dfa.start]]
    number.setdefault(block_of[dfa.start], len(number))
    for block in order:  # grows while it is walked
        for target in dfa.rows[member[block]]:
            if block_of[target] not in number:
                number[block_of[target]] = len(number)
                order.append(block_of[target])
    rows = [[number[block_of[target]] for target in dfa.rows[member[block]]] for block in number]
    ends = [dfa.accept_end[member[block]] for block in number]
    return _merge_classes(ByteDfa(rows, dfa.class_of, ends, number[block_of[dfa.start]]))


def _merge_classes(dfa: ByteDfa) -> ByteDfa:
    columns: dict[tuple[int, ...], int] = {}
    merged = [columns.setdefault(column, len(columns)) for column in zip(*dfa.rows, strict=True)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return ByteDfa(rows, bytes(merged[index] for index in dfa.class_of), dfa.accept_end, dfa.start)


def _partition(dfa: ByteDfa) -> list[int]:
    """The block of each state: states are in one block when the same rests of a text match from them."""
    sources = _sources(dfa)
    ends = {state for state, end in enumerate(dfa.accept_end) if end}
    blocks = [ends, set(range(len(dfa.rows))) - ends]
    block_of = [0 if end else 1 for end in dfa.accept_end]
    waiting = {0, 1}
    while waiting:
        splitter = list(blocks[waiting.pop()])
        for by_target in sources:
            touched: dict[int, set[int]] = defaultdict(set)
            for target in splitter:
                for state in by_target.get(target, ()):
                    touched[block_of[state]].add(state)
            for block, inside in touched.items():
                if len(inside) < len(blocks[block]):
                    _split(blocks, block_of, waiting, block, inside)
    return block_of


def _split(blocks: list[set[int]], block_of: list[int], waiting: set[int], block: int, inside: set[int]) -> None:
    """The smaller half becomes a new block, to be split by; the larger one need not be, unless it waited already."""
    outside = blocks[block] - inside
    small, large = (inside, outside) if len(inside) <= len(outside) else (outside, inside)
    blocks[block] = large
    for state in small:
        block_of[state] = len(blocks)
    waiting.add(len(blocks))
    blocks.append(small)


def _sources(dfa: ByteDfa) -> list[dict[int, list[int]]]:
    """For each class: the states that it leads to each state from."""
    sources: list[dict[int, list[int]]] = [defaultdict(list) for _ in dfa.rows[0]]
    for state, row in enumerate(dfa.rows):
        for index, target in enumerate(row):
            sources[index][target].append(state)
    return sources
