"""Threads that prefetch and write keep order, raise errors, stay within bounds and end."""

import threading

import pytest

from recam.core.errors import UserError
from recam.runtime.threads import read_ahead, writing_behind


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Every test ends with the threads it began with."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Kept:
    """Records its arguments."""

    def __init__(self, *, fails_at=None):
        self.calls = []
        self.fails_at = fails_at

    def __call__(self, item):
        self.calls.append(item)
        if item == self.fails_at:
            raise UserError(f"{item} is broken")
        return 10 * item


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_results_come_in_the_order_of_the_items(ahead):
    assert list(read_ahead(lambda n: 10 * n, range(5), ahead=ahead)) == [0, 10, 20, 30, 40]


def test_several_threads_keep_the_order_and_queue_no_more_than_asked_for():
    together, taken = threading.Barrier(3, timeout=10), []

    def make(item):
        together.wait()  # passes only if three threads are in it
        return 10 * item

    made = read_ahead(make, iter(taken.append(n) or n for n in range(6)), ahead=5, threads=3)
    assert next(made) == 0
    assert taken == list(range(6))
    assert list(made) == [10, 20, 30, 40, 50]


def test_of_nothing_comes_nothing():
    assert list(read_ahead(lambda n: n, [])) == []


def test_nothing_is_made_before_it_is_asked_for():
    make = Kept()
    made = read_ahead(make, range(5))
    assert make.calls == []
    made.close()
    assert make.calls == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_is_made_than_asked_for(ahead):
    make, taken = Kept(), []
    made = read_ahead(make, iter(taken.append(n) or n for n in range(100)), ahead=ahead)
    for asked in range(1, 6):
        assert next(made) == 10 * (asked - 1)
        assert taken == list(range(asked + ahead))
    made.close()
    assert make.calls in [list(range(count)) for count in range(5, 6 + ahead)]


def test_the_next_is_made_while_the_caller_has_the_one_before():
    begun = threading.Event()

    def make(item):
        if item == 1:
            begun.set()
        return item

    made = read_ahead(make, range(3))
    assert next(made) == 0
    assert begun.wait(timeout=60)  # before the first result is requested
    made.close()


def test_an_error_comes_where_its_result_would_have():
    made, seen = read_ahead(Kept(fails_at=2), range(5), ahead=2), []

    def collect():
        for value in made:
            seen.append(value)

    with pytest.raises(UserError, match="2 is broken"):
        collect()
    assert seen == [0, 10]


def test_an_error_of_the_items_ends_the_thread():
    def items():
        yield 1
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        list(read_ahead(lambda n: n, items(), ahead=0))


def test_an_interrupted_caller_leaves_no_thread():
    def use():
        for _ in read_ahead(lambda n: n, range(100), ahead=3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()


def test_all_is_written_when_the_block_ends():
    written = set()
    with writing_behind() as write:
        for number in range(50):
            write(lambda number=number: written.add(number))
    assert written == set(range(50))


def test_an_error_of_a_write_is_raised_at_the_end_at_the_latest():
    def block():
        with writing_behind() as write:
            write(lambda: Kept(fails_at=1)(1))

    with pytest.raises(UserError, match="1 is broken"):
        block()


def test_an_error_of_a_write_stops_a_block_that_goes_on():
    begun = []

    def block():
        with writing_behind(threads=1, waiting=3) as write:
            for number in range(100):
                begun.append(number)
                write(lambda number=number: Kept(fails_at=1)(number))

    with pytest.raises(UserError, match="1 is broken"):
        block()
    assert len(begun) <= 1 + 3 + 1


@pytest.mark.parametrize(("others", "in_time"), [(2, True), (3, False)])
def test_the_caller_waits_while_so_many_are_undone(others, in_time):
    handed_over, heard = threading.Event(), []
    with writing_behind(threads=1, waiting=3) as write:
        write(lambda: heard.append(handed_over.wait(timeout=60 if in_time else 0.01)))
        for _ in range(others):
            write(lambda: None)
        handed_over.set()
    assert heard == [in_time]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError])
def test_queued_calls_run_although_the_block_fails(stop):
    written = []

    def block():
        with writing_behind(threads=1) as write:
            for number in range(5):
                write(lambda number=number: written.append(number))
            raise stop

    with pytest.raises(stop):
        block()
    assert written == [0, 1, 2, 3, 4]


def test_the_error_of_the_block_is_raised_before_that_of_a_write():
    def block():
        with writing_behind() as write:
            write(lambda: Kept(fails_at=1)(1))
            raise UserError("the block's own")

    with pytest.raises(UserError, match="the block's own"):
        block()
