"""Every need of the page gets its row, asked in its own words or in others."""

import sys
from pathlib import Path

import pytest

from geoseg.cli import main
from geoseg.models.architectures import NETWORKS
from geoseg.training.advice import TOPICS, asked, rows
from geoseg.training.losses.terms import TERMS

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_every_need_of_the_page_gets_its_row():
    sys.path.insert(0, str(SCRIPTS))
    from choosing_page import PAGE, page

    text = PAGE.read_text(encoding="utf-8")
    assert text == page()
    needs = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    needs = [need for need in needs if need != "need"]
    assert len(needs) == len(rows()) == len({*needs})
    assert [need for need in needs if asked(need)[0].need != need] == []
    assert {row.topic for row in rows()} == set(TOPICS)


@pytest.mark.parametrize(
    ("question", "need"),
    [
        ("I want to count trees", "single things to be counted or measured one by one"),
        ("my class covers 0.5 percent, imbalance", "a rare class"),
        ("roads are thin", "thin things"),
        ("is the new model significantly better", "which of two models is better"),
        ("Sentinel-2 time series", "several dates"),
        ("how many polygons must I draw", "how many labels"),
        ("false alarms are worse than missed ones", "missing is worse than inventing, or the other way round"),
        ("fine-tune SAM", "a promptable model that draws your objects badly"),
        ("find solar panels by text", "things that a few words name, without clicks or labels"),
        ("YOLACT or SOLOv2", "a detector that lists objects"),
        ("validation on random chips", "random chips as test set"),
    ],
)
def test_a_question_in_other_words_is_among_the_answers(question, need):
    assert need in [row.need for row in asked(question)]


def test_the_verb_lists_answers_and_refuses(capsys):
    assert main(["advise"]) == 0
    assert "a rare class" in capsys.readouterr().out
    assert main(["advise", "rare", "class"]) == 0
    assert capsys.readouterr().out.startswith("a rare class: focal")
    assert main(["advise", "qwertz"]) == 2
    assert "geoseg advise lists the needs" in capsys.readouterr().err


def test_networks_and_losses_that_are_advised_are_there():
    named = [row.answer + row.how for row in rows()]
    own = {"compact-unet", "deeplabv3+", "upernet", "pixel-mlp", "temporal", "segformer"}
    for known in own | {"mask-rcnn", "panoptic-fpn", "yolact", "solov2"}:
        assert known in NETWORKS
        assert any(known in text for text in named)
    assert {"tversky", "focal", "boundary", "huber", "dice", "lovasz"} <= set(TERMS)
