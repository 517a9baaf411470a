"""Where a network is wrong on the ground that it learns from: more windows are cut there (hard example mining)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geoseg.training.areas import CELL_PX, blocks, by_cell
from geoseg.training.targets import IGNORE
from geoseg.training.validation import VALIDATION_BLOCK_PX, Validation, block_of, classes_said

LOOKED = 0.25  # pixels that are looked at after an epoch, as a share of those of its windows
LEAST_PX = VALIDATION_BLOCK_PX**2  # that are looked at however short an epoch is: not one small chip alone


def wrong_cells(
    network: nn.Module, judge: Validation, rng: np.random.Generator, *, most_px: float
) -> list[NDArray[np.int32]]:
    """Return how many pixels of each cell of CELL_PX get another class than their label, by area, (rows, cols).

    Blocks of the areas are looked at in random order until ``most_px`` pixels are; cells of the others have none.
    """
    wrong = [np.zeros([-(-n // CELL_PX) for n in area.shape], np.int32) for area in judge.areas]
    boxes = [(at, box) for at, area in enumerate(judge.areas) for box in blocks(area, VALIDATION_BLOCK_PX)]
    position, looked = torch.tensor(judge.model.class_of_channel), 0
    for number in rng.permutation(len(boxes)):
        at, box = boxes[number]
        block = block_of(judge.areas[at], box, judge.spec, judge.model)
        if block is None:
            continue
        images, truth = block
        said = classes_said(judge.logits(network, images), judge.model)
        known = truth.labels != IGNORE
        off = (known & (said != position[torch.where(known, truth.labels, 0).long()]))[0].numpy()
        height, width = box.shape
        cells = by_cell(off[:height, :width])
        row, col = box.row0 // CELL_PX, box.col0 // CELL_PX
        wrong[at][row : row + cells.shape[0], col : col + cells.shape[1]] = cells
        looked += height * width
        if looked >= most_px:
            break
    return wrong
