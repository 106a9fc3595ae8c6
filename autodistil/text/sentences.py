"""Sentences of a text in any language, by the rules and character classes of Unicode (UAX 29).

Where those rules say nothing that is of use here, they are completed: a line ends a sentence; "!"
and "?" before a small letter end one no more than a full stop does ("Stop!" he said), and all three
need space after them; in text without capitals a full stop ends one before a small letter as well;
and what has no end for too long is cut, between words where there are any. No character is lost but
space at the ends.
"""

from itertools import pairwise

import regex

RULES = f"sentences-2, regex {regex.__version__}"
"""Changes whenever the sentences of a text may: with the rules here, and with Unicode's."""

_LONGEST = 500
"""Characters of a sentence, more or less the 128 tokens that a row takes of it."""

_LINE = r"[\n\r\v\f\x1c-\x1e\p{SB=Sep}]"
_SOFT = r"[[.!?\p{SB=ATerm}]--\uff0e]"
"""Ends of a sentence only with space after them, as in `3.5` and `example.org` they are none."""
_HARD = r"[[\p{SB=STerm}\uff0e]--[!?]]"
"""Ends of a sentence by themselves, as in Chinese."""
_ANY = r"[\p{SB=STerm}\p{SB=ATerm}]"
_CLOSE = r"[\p{SB=Close}\p{SB=Extend}\p{SB=Format}]"
_APART = r"(?:\p{SB=Sp}[\u00bb\u203a](?=\s))?+"
"""As in French, where space stands inside of quotes as well."""
_SPACE = r"[\p{SB=Sp}\p{SB=Extend}\p{SB=Format}]"
_RUN = "{0,50}+"
"""Marks after a mark; without a limit, of a hundred thousand full stops each would look at all."""
_GOES_ON = r"[\p{SB=SContinue}\p{SB=STerm}\p{SB=ATerm}]"

_END = regex.compile(
    rf"""
    [\n\r\v\f\x1c-\x1e\p{{SB=Sep}}\p{{SB=STerm}}\p{{SB=ATerm}}]  # one set is found quickly
    (?: (?<={_LINE}) \s*
    |   (?<={_SOFT}) {_SOFT}{_RUN} {_CLOSE}*+ {_APART} \p{{SB=Sp}} {_SPACE}*+ (?!{_GOES_ON})
        (?= [\p{{SB=Close}}¿¡]*+ (?: (\p{{SB=Lower}}) | (\p{{SB=Upper}}) )? )
    |   (?<={_HARD}) (?! (?<=\uff0e) \p{{SB=Numeric}} )
        {_ANY}{_RUN} [{_CLOSE}--[\p{{Ps}}\p{{Pi}}]]*+ {_SPACE}*+ (?!{_GOES_ON})
    )
    """,
    regex.VERBOSE | regex.V1,
)
_SMALL, _CAPITAL = 1, 2
"""Groups of the pattern: the letter that follows."""

_CASED = regex.compile(r"(\p{SB=Lower})|(\p{SB=Upper})")
_PIECE = regex.compile(
    rf"""
    .{{1,{_LONGEST}}} (?: (?<=\s) | $ )
    | .{{1,{_LONGEST}}} (?<=\p{{SB=SContinue}})
    | .{{1,{_LONGEST}}} (?!\p{{SB=Extend}})
    | .{{1,{_LONGEST}}}
    """,
    regex.VERBOSE | regex.V1 | regex.DOTALL,
)


def sentences(text: str) -> list[str]:
    """Sentences of a text, without space around them; blank ones are left out."""
    ends, small, capitals = [0], [], 0
    for match in _END.finditer(text):
        if match.lastindex == _SMALL:
            if not _is_initial(text, match.start()):
                small.append(match.end())
        else:
            ends.append(match.end())
            capitals += match.lastindex == _CAPITAL
    if len(small) > capitals + _begins_with_capital(text):
        ends = sorted(ends + small)
    ends.append(len(text))
    found = [part for start, end in pairwise(ends) if (part := text[start:end].strip())]
    if any(len(part) > _LONGEST for part in found):
        found = [piece for part in found for piece in _pieces(part)]
    return found


def _is_initial(text: str, stop: int) -> bool:
    """Whether a stop follows a single letter, as in `e.g.`: it ends no sentence then."""
    return text[stop - 1 : stop].isalpha() and not text[max(0, stop - 2) : stop - 1].isalpha()


def _begins_with_capital(text: str) -> bool:
    first = _CASED.search(text)
    return first is not None and first.lastindex == _CAPITAL


def _pieces(sentence: str) -> list[str]:
    if len(sentence) <= _LONGEST:
        return [sentence]
    return [piece for found in _PIECE.findall(sentence) if (piece := found.strip())]
