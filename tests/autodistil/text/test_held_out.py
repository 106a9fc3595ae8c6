from autodistil.text.held_out import is_held_out


def test_about_one_sentence_in_32_is_held_out() -> None:
    held_out = sum(is_held_out(f"This is sentence {i}.") for i in range(32_000))
    assert 900 < held_out < 1_100


def test_the_answer_is_the_same_in_every_program() -> None:
    # `printf 'sentence 10' | sha256sum` begins with 07; that of 'sentence 168' with 08.
    assert is_held_out("sentence 10")
    assert not is_held_out("sentence 168")


def test_white_space_around_a_sentence_does_not_count() -> None:
    assert is_held_out("  sentence 10\r\n")


def test_half_a_surrogate_pair_is_a_sentence_too() -> None:
    assert not is_held_out("\ud83d")
