"""Pages hold all they show, and let nothing of strangers' names run; pictures are what arrays say."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from geoseg.outputs.page import figure, legend, page, shaded, side_by_side, table, write_page
from geoseg.scenes import pictures
from geoseg.values.classes import ClassInfo, ClassMap

HOSTILE = '<script>alert(1)</script>" onload="x'
CLASSES = ClassMap((ClassInfo(1, "ground", (10, 20, 30)), ClassInfo(3, HOSTILE, (200, 0, 0))))


class Elements(HTMLParser):
    """All elements of a page, those that are open, and the addresses in it."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.open, self.addresses, self.names = set(), [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.names |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_whole_and_names_stay_text(tmp_path):
    picture = pictures.data_address(pictures.of_classes(np.array([[0, 1, 3]]), CLASSES))
    parts = (
        HOSTILE,
        table(["class", "IoU"], [[HOSTILE, "0.5"], ["ground", shaded("1", 0.5)]], caption=HOSTILE),
        side_by_side(figure(picture, HOSTILE, width_px=20)),
        legend(CLASSES),
    )
    write_page(tmp_path / "r.html", page(HOSTILE, *parts))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = Elements(text)
    assert not found.open
    assert found.seen >= {"table", "img", "figcaption", "caption", "h1", "title"}
    assert "script" not in found.seen
    assert "onload" not in found.names
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert text.count("&lt;script&gt;") == 8


def test_pictures_show_what_arrays_hold():
    ids = np.array([[0, 1], [3, 3]])
    shown = pictures.enlarged(pictures.of_classes(ids, CLASSES), 6)
    stored = pictures.data_address(shown).partition(",")[2]
    back = np.array(Image.open(io.BytesIO(base64.b64decode(stored))))
    assert back.shape == (6, 6, 3)
    assert back[[0, 0, 5], [0, 5, 0]].tolist() == [[255, 255, 255], [10, 20, 30], [200, 0, 0]]
    assert pictures.boundaries(ids).tolist() == [[True, True], [False, False]]
    assert pictures.drawn(shown, np.eye(6, dtype=bool), (1, 2, 3))[2, 2].tolist() == [1, 2, 3]


def test_imagery_is_stretched_band_by_band_and_white_where_nothing_is_known():
    bands = np.stack([np.arange(100.0), np.arange(100.0) * 50, np.full(100, 7.0)])[:, None]
    valid = np.ones((1, 100), bool)
    valid[0, 50] = False
    shown = pictures.of_bands(bands, valid)[0]
    assert shown[0].tolist() == [0, 0, 0]
    assert shown[99].tolist() == [255, 255, 0]
    assert shown[50].tolist() == [255, 255, 255]
    assert (pictures.of_bands(bands[:1], valid)[0, :49] == shown[:49, :1]).all()
    assert pictures.sheet([[shown[None], shown[None, :5]], [shown[None]]], gap_px=2).shape == (8, 206, 3)
