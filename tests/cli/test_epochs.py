"""What is written of epochs while a training goes on is whole, or is what was there before."""

from types import SimpleNamespace

import pytest

from geoseg.cli.epochs import plot, write_table
from geoseg.errors import OutputError

EPOCH = SimpleNamespace(
    number=1,
    train_loss=0.5,
    validation_loss=0.6,
    iou=(0.1,),
    errors=(),
    score=0.1,
    rank=(0.1, -0.6),
    seconds=1.0,
    best=True,
)


def test_a_table_that_is_cut_off_leaves_the_earlier_one(tmp_path):
    table = tmp_path / "metrics.csv"
    write_table(table, [EPOCH], ["IoU building"])
    before = table.read_text()
    assert before.splitlines()[1] == "1,0.5,0.6,0.1,0.1,1.00,1"
    with pytest.raises(AttributeError):
        write_table(table, [EPOCH, object()], ["IoU building"])
    assert table.read_text() == before
    assert list(tmp_path.iterdir()) == [table]


def test_a_picture_on_a_full_disk_names_its_file_and_leaves_the_earlier_one(tmp_path, monkeypatch):
    def half(_figure, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    picture = tmp_path / "training.png"
    picture.write_bytes(b"earlier")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    with pytest.raises(OutputError, match=r"training\.png: could not be written"):
        plot(picture, [EPOCH], ["IoU building"], title="t")
    assert picture.read_bytes() == b"earlier"
