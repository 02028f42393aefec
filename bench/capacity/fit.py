"""Least squares with a few unknowns, so that a measurement needs no library for it."""

from __future__ import annotations

from collections.abc import Sequence


def fit(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Give the factors whose sums over each row come nearest to its value, errors counted as shares of the value.

    A cost is never below zero: one that would be is left out, as too small to be told from noise.
    """
    found = _fit(rows, values)
    lowest = min(range(len(found)), key=found.__getitem__)
    if found[lowest] >= 0:
        return found
    others = fit([[*row[:lowest], *row[lowest + 1 :]] for row in rows], values)
    return [*others[:lowest], 0.0, *others[lowest:]]


def _fit(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    weighted = [[each / value for each in row] for row, value in zip(rows, values, strict=True)]
    count = len(rows[0])
    normal = [[sum(row[a] * row[b] for row in weighted) for b in range(count)] for a in range(count)]
    return _solve(normal, [sum(row[a] for row in weighted) for a in range(count)])


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve by elimination, the largest pivot first."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        best = max(range(column, len(rows)), key=lambda row: abs(rows[row][column]))
        rows[column], rows[best] = rows[best], rows[column]
        for row in range(len(rows)):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[-1] / row[index] for index, row in enumerate(rows)]
