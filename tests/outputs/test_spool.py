import numpy as np
import pytest
import shapely

from geoseg.errors import OutputError
from geoseg.outputs.disk_list import spooled


def test_polygons_come_back_by_number_and_as_they_were_last_told(tmp_path):
    boxes = np.array([shapely.box(0, 0, k + 1, 1) for k in range(6)], object)
    with spooled(tmp_path) as spool:
        spool.append(boxes[:2])
        spool.append(boxes[:0])
        spool.append(boxes[2:5])
        assert list(spool.read(np.array([4, 0, 2]))) == list(boxes[[4, 0, 2]])
        spool.replace(np.array([0, 3]), boxes[[5, 1]])
        assert list(spool.read(np.arange(5))) == list(boxes[[5, 1, 2, 1, 4]])
        assert list(spool.read(np.empty(0, int))) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OutputError, match="gone: cannot be written to"), spooled(tmp_path / "gone"):
        pass
