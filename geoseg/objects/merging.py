"""Merging: the detections of all windows become one set of objects, by rules in which nothing depends on chunks.

All whole detections of a scene compete in one total order: score, clearance, first pixel, class, area, cell. Pieces,
which a window has cut, stay where no whole object covers them, and are joined across cells where they face each other.
Which detections meet is found row of cells by row of cells; what becomes of them, by a table of integers.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.objects.found import AREA, BOX, CELL, CLASS, CLEAR, FIRST_COL, FIRST_ROW, SCORE, Found

SAME, COVERED, MEETS = range(3)  # one object; a piece of a whole one; pieces of one object


@dataclass(frozen=True, slots=True)
class MergeRules:
    """When detections are one; shares in hundredths."""

    things: tuple[int, ...]
    """Ids of the classes of objects."""
    edge_px: int
    """A whole detection stays so far from its window's edges."""
    same: int
    """Two are one where they share so much of their union,"""
    inside: int
    """or so much of the smaller."""
    join: int
    """Pieces are one where they face each other along so much of the shorter contact."""
    min_px: int
    """Smaller objects are left out, in pixels of the scene."""


def links(found: Found, own: int, rules: MergeRules) -> NDArray[np.int64]:
    """Return how detections meet: number, number, kind, (M, 3); a COVERED one comes second.

    own: pairs whose first is one of the first ``own``, and whose second follows it.
    """
    table = found.table
    if not len(table):
        return np.empty((0, 3), np.int64)
    rects = shapely.box(*table[:, [1, 0, 3, 2]].T)
    pairs = shapely.STRtree(rects).query(rects[:own], predicate="intersects")
    at, other = pairs[:, pairs[1] > pairs[0]]
    order = np.lexsort((other, at))
    masks: dict[int, NDArray[np.bool_]] = {}

    def mask(i: int) -> NDArray[np.bool_]:
        if i not in masks:
            masks[i] = found.mask(i)
        return masks[i]

    whole, out, last = table[:, CLEAR] >= rules.edge_px, [], 0
    for a, b in zip(at[order].tolist(), other[order].tolist(), strict=True):
        if a > last:  # no pair to come has it
            for i in range(last, a):
                masks.pop(i, None)
            last = a
        if whole[a] or whole[b] or (table[a, CELL] == table[b, CELL]).all():
            common = _common(table, a, b, mask)
            small, large = sorted((int(table[a, AREA]), int(table[b, AREA])))
            if whole[a] == whole[b]:
                if 100 * common >= min(rules.same * (small + large - common), rules.inside * small):
                    out.append((a, b, SAME))
            elif 2 * common >= table[b if whole[a] else a, AREA]:
                out.append((a, b, COVERED) if whole[a] else (b, a, COVERED))
        elif table[a, CLASS] == table[b, CLASS]:
            facing, shorter = _contact(table, a, b, mask)
            if facing and 100 * facing >= rules.join * shorter:
                out.append((a, b, MEETS))
    return np.array(out, np.int64).reshape(-1, 3)


def all_links(found: Found, rules: MergeRules) -> NDArray[np.int64]:
    """Return how all detections of a scene meet, see ``links``, looked at row of windows by row.

    found: in the order of their rows; any order gives the same, and takes more memory.
    """
    table, out = found.table, [np.empty((0, 3), np.int64)]
    starts = np.flatnonzero(np.diff(table[:, CELL.start], prepend=-1)) if len(table) else np.empty(0, np.int64)
    for start, stop in zip(starts.tolist(), [*starts.tolist()[1:], len(table)], strict=False):
        near = np.flatnonzero(table[start:, BOX.start] <= table[start:stop, BOX.start + 2].max())
        part = found.take(np.arange(start, start + near[-1] + 1))
        out.append(links(part, stop - start, rules) + np.array([start, start, 0]))
    return np.concatenate(out)


def _common(table, a, b, mask) -> int:  # type: ignore[no-untyped-def]
    """Return how many pixels two masks share."""
    r0, c0 = np.maximum(table[a, :2], table[b, :2])
    r1, c1 = np.minimum(table[a, 2:4], table[b, 2:4])
    if r0 >= r1 or c0 >= c1:
        return 0
    one, other = (mask(i)[r0 - table[i, 0] : r1 - table[i, 0], c0 - table[i, 1] : c1 - table[i, 1]] for i in (a, b))
    return int(np.count_nonzero(one & other))


def _contact(table, a, b, mask) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """Return along the border of two cells the pixels where both masks face each other, and those of the shorter."""
    for axis in (0, 1):
        for one, other in ((a, b), (b, a)):
            edge = table[one, CELL][2 + axis]
            if edge == table[other, CELL][axis] and table[one, 2 + axis] == edge == table[other, axis]:
                lines = [
                    table[i, 1 - axis] + np.flatnonzero(mask(i).take(at, axis)) for i, at in ((one, -1), (other, 0))
                ]
                return len(np.intersect1d(*lines)), min(map(len, lines))
    return 0, 0


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The objects of a scene, the best first."""

    member: NDArray[np.int64]
    """Numbers of the detections that objects are made of, (K,)."""
    of: NDArray[np.int64]
    """The object of each, (K,), ascending."""
    class_id: NDArray[np.int64]
    """Of every object, (N,)."""
    score: NDArray[np.int64]
    """0..65535, of joined ones a mean by area, (N,)."""
    clear_px: NDArray[np.int64]
    """How far it stays from its window's edges, 0 of joined ones, (N,)."""
    joined: NDArray[np.bool_]
    """Whether it is made of pieces of several cells, (N,)."""


def merged(table: NDArray[np.int64], links: NDArray[np.int64], rules: MergeRules) -> Merged:
    """Return the objects of a scene; what detections come in what order changes nothing.

    table: of ``Found``, of all detections; links: see above, with numbers of the table.
    """
    rank = np.empty(len(table), np.int64)
    rank[_order(table)] = np.arange(len(table))
    kept, whole = np.ones(len(table), np.bool_), table[:, CLEAR] >= rules.edge_px
    same = links[links[:, 2] == SAME, :2]
    _suppress(kept, same[whole[same[:, 0]]], rank)
    covering, covered = links[links[:, 2] == COVERED, :2].T
    kept[covered[kept[covering]]] = False
    _suppress(kept, same[~whole[same[:, 0]]], rank)
    meets = links[links[:, 2] == MEETS, :2]
    a, b = meets[kept[meets].all(1)].T
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(len(table),) * 2)
    group = connected_components(graph, directed=False)[1][kept] if len(table) else np.empty(0, np.int64)
    member = np.flatnonzero(kept)
    return _objects(table, member, np.unique(group, return_inverse=True)[1])


def _suppress(kept: NDArray[np.bool_], pairs: NDArray[np.int64], rank: NDArray[np.int64]) -> None:
    """Drop of every pair the worse one where the better one stays, beginning with the best."""
    swap = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    better, worse = np.where(swap, pairs.T[::-1], pairs.T)
    for i in np.argsort(rank[worse], kind="stable"):
        if kept[better[i]]:
            kept[worse[i]] = False


def _objects(table: NDArray[np.int64], member: NDArray[np.int64], of: NDArray[np.int64]) -> Merged:
    """Return objects, ranked as detections are; of: which group each member is in, (K,)."""
    count = int(of.max(initial=-1)) + 1
    order = np.lexsort((table[member, FIRST_COL], table[member, FIRST_ROW], of))
    member, of = member[order], of[order]
    rows = table[member[np.unique(of, return_index=True)[1]]]  # of the first pieces
    area, score = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.add.at(area, of, table[member, AREA])
    np.add.at(score, of, table[member, AREA] * table[member, SCORE])
    joined = np.bincount(of, minlength=count) > 1
    rows[:, AREA], rows[:, SCORE], rows[joined, CLEAR] = area, score // np.maximum(area, 1), 0
    best = _order(rows)
    place = np.empty(count, np.int64)
    place[best] = np.arange(count)
    again = np.argsort(place[of], kind="stable")
    rows = rows[best]
    class_id, score, clear = rows[:, [CLASS, SCORE, CLEAR]].T
    return Merged(member[again], place[of[again]], class_id, score, clear, joined[best])


def _order(table: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the numbers of detections, the best first; of equal ones, which are alike in all, the first."""
    down = (SCORE, CLEAR, AREA)
    keys = (SCORE, CLEAR, FIRST_ROW, FIRST_COL, CLASS, AREA, CELL.start, CELL.start + 1)
    return np.lexsort([-table[:, key] if key in down else table[:, key] for key in reversed(keys)])


def painted(found: Found, of: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the object of each pixel of a tile (h, w), of several the best, -1 for none.

    of: the object of each detection, (K,), ascending; rows, cols: where the tile's lie in the pixels of ``found``, both
    of them rising.
    """
    out = np.full((len(rows), len(cols)), -1, np.int64)
    for i in reversed(range(len(of))):
        r0, c0, r1, c1 = found.table[i, BOX]
        (top, bottom), (left, right) = np.searchsorted(rows, (r0, r1)), np.searchsorted(cols, (c0, c1))
        mask = found.mask(i)[rows[top:bottom, None] - r0, cols[left:right] - c0]
        out[top:bottom, left:right][mask] = of[i]
    return out
