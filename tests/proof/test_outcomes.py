"""The proof's page is made of every chapter's last full run, and not before each had one."""

from __future__ import annotations

from pathlib import Path

from proof import outcomes
from proof.report import Chapter, document

CUTS = Chapter(title="Cuts", what="The lights go out.", tried=10_000, unit="cuts", figures={"torn": 1234}, broken=[])
FUZZ = Chapter(title="Fuzz", what="Noise.", tried=7, unit="inputs", broken=["it fell"], unproven="all noise")


def test_nothing_is_told_while_a_chapter_was_never_tried_in_full(tmp_path: Path) -> None:
    outcomes.keep("cuts", CUTS, 61.0, outcomes.version(), tmp_path)
    assert outcomes.kept(["cuts", "fuzz"], tmp_path) is None


def test_the_page_tells_each_chapter_with_its_day_and_version_and_what_broke(tmp_path: Path) -> None:
    outcomes.keep("fuzz", FUZZ, 90.0, outcomes.version(), tmp_path)
    outcomes.keep("cuts", CUTS, 61.0, outcomes.version(), tmp_path)
    known = outcomes.kept(["cuts", "fuzz"], tmp_path)
    assert known is not None
    page = document(known)
    assert f"| Cuts | 10,000 cuts | 0 | 1.0 | {known[0].day} | {known[0].version} |" in page
    assert f"| Fuzz | 7 inputs | 1 | 1.5 | {known[1].day} | {known[1].version} |" in page
    assert "| torn | 1,234 |" in page
    assert "**Broken:** it fell" in page
    assert "Not proven: all noise" in page
    assert page.index("## Cuts") < page.index("## Fuzz")


def test_a_chapter_tried_again_tells_the_later_run(tmp_path: Path) -> None:
    outcomes.keep("fuzz", FUZZ, 90.0, outcomes.version(), tmp_path)
    outcomes.keep("fuzz", CUTS, 61.0, outcomes.version(), tmp_path)
    known = outcomes.kept(["fuzz"], tmp_path)
    assert known is not None
    assert [each.chapter.title for each in known] == ["Cuts"]


def test_a_version_that_is_another_by_the_end_was_not_tried_alone(tmp_path: Path) -> None:
    outcomes.keep("fuzz", FUZZ, 90.0, "0123456789", tmp_path)
    known = outcomes.kept(["fuzz"], tmp_path)
    assert known is not None and known[0].version == "0123456789, changed"


def test_all_that_broke_is_counted_and_the_first_of_it_told(tmp_path: Path) -> None:
    many = Chapter(title="Noise", what="Noise.", tried=50, unit="tries", broken=[f"fall {n}" for n in range(25)])
    outcomes.keep("noise", many, 60.0, outcomes.version(), tmp_path)
    known = outcomes.kept(["noise"], tmp_path)
    assert known is not None
    page = document(known)
    assert "| Noise | 50 tries | 25 |" in page
    assert "**Broken:** fall 19" in page and "fall 20" not in page and "**Broken:** … and 5 more" in page


def test_a_chapter_whose_later_run_failed_tells_nothing(tmp_path: Path) -> None:
    outcomes.keep("fuzz", FUZZ, 90.0, outcomes.version(), tmp_path)
    outcomes.forget("fuzz", tmp_path)
    outcomes.forget("fuzz", tmp_path)
    assert outcomes.kept(["fuzz"], tmp_path) is None
