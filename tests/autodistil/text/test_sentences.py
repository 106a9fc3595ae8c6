# ruff: noqa: RUF001 -- letters that look like Latin ones are the point
import random

import pytest

from autodistil.text.sentences import sentences


@pytest.mark.parametrize(
    "text",
    [
        "The river rose in the night.| Nobody was hurt!| Did we leave early?",
        "the river rose in the night.| nobody was hurt.| did we leave early?| by 5 p.m. we did.",
        "Река поднялась ночью.| Никто не пострадал.| Мы уехали рано.",
        "река поднялась ночью.| никто не пострадал.| мы уехали рано.",
        "Το ποτάμι φούσκωσε.| Κανείς δεν έπαθε τίποτα.| Φύγαμε νωρίς.",
        "Der Fluss stieg.| Über Nacht kam Regen.| Ärzte halfen.",
        "La nuit tombe.| Éric dort.| « À demain. »| Enfin.",
        "¿Quién es?| ¡Nadie!| Él duerme.| ¿Y tú?",
        "河水在夜里上涨。|没有人受伤。|「我们走吧。」|我们很早就离开了！|真的？|ABC是字母。|3．5是数字．|完",
        "川は夜に増水した。|けが人はいなかった。|私たちは早く出発した。",
        "नदी रात में बढ़ गई।| किसी को चोट नहीं आई।| हम जल्दी निकल गए।",
        "ارتفع النهر ليلا.| لم يصب أحد.| هل غادرنا مبكرا؟| نعم",
        "ወንዙ ሌሊት ሞላ።| ማንም አልተጎዳም።",
        "Գետը բարձրացավ։| Ոչ ոք չի տուժել։",
        "강물이 밤에 불어났다.| 다친 사람은 없었다.",
        "Pi is 3.14 or so, says example.org.| 5 people agree (e.g. me).| (All of them.)",
        '"Really?"| Yes...| Well...',
        "It was approx. five.| He paid, e.g. here, etc. and left.| Done.",
        '"Stop!" he said.| "Why?" she asked.| They went.',
        "One line\n| another\n\n  \n| third\u2028| fourth\r\n|fifth.\n|\tSixth.",
        "One.|\u00a0Two.| \u201cThree.\u201d|\u3000Four\u0301.| Five",
        "no end",
        "A heading - in parts: one; two, three",
    ],
)
def test_sentences_are_found_in_every_language(text: str) -> None:
    wanted = [part.strip() for part in text.split("|")]
    assert sentences(text.replace("|", "")) == wanted


def test_blank_text_has_no_sentences() -> None:
    assert sentences("") == sentences(" \n \u2029\t\u3000") == []


WORDS = [
    "ba",
    "Bi",
    "e.g.",
    "3.5",
    "U.S.",
    "।",
    "河水",
    "。",
    "」",
    "«",
    "»",
    "...",
    "?!",
    "न\u0940",
    "\u200d",
]
SPACES = ["", " ", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", ". ", "! ", ", ", " - ", ".)", '." ']


@pytest.mark.parametrize("seed", range(30))
def test_no_character_is_lost_or_moved(seed: int) -> None:
    rng = random.Random(seed)
    spaces = SPACES if seed % 3 else [""]
    text = "".join(rng.choice(WORDS) + rng.choice(spaces) for _ in range(1000))
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(one == one.strip() != "" for one in found)
    assert max(map(len, found)) <= 500


@pytest.mark.parametrize(
    "run", [".", "。", "。.", "!", ")", ". ", ".)", "\n", " ", "。,", "\u0301"]
)
def test_runs_of_one_mark_are_read_in_no_time(run: str) -> None:
    text = "ba" + run * (150_000 // len(run)) + ",be"
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("word", "between", "ends"),
    [("wort", " ", "wort"), ("词语", "，", "，"), ("न\u0940", "", "न\u0940")],
)
def test_what_has_no_end_is_cut_between_words_or_letters(
    word: str, between: str, ends: str
) -> None:
    text = between.join([word] * 2000)
    found = sentences(text)
    assert between.join(found).replace(between * 2 or "-", between) == text
    assert all(one.endswith(ends) for one in found[:-1])
    assert all(490 <= len(one) <= 500 for one in found[:-1])
