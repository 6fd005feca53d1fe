"""Who has to go when the house is full, and how much may be held."""

from __future__ import annotations

import random

import pytest

from kiroproxy.http import HttpLimits
from kiroproxy.http.guests import Guests, neighbourhood

ELSEWHERE = "192.0.2.1"


class Visitor:
    def __init__(self, name: str, host: str = "") -> None:
        self.name = name
        self.host = host
        self.is_known = False
        self.went = False

    def make_room(self) -> None:
        self.went = True

    def __repr__(self) -> str:
        return self.name


def house(most: int = 4, most_strangers: int = 2, most_bytes: int = 100) -> Guests:
    return Guests(
        HttpLimits(
            max_connections=most,
            max_strangers_per_address=most_strangers,
            max_held_bytes=most_bytes,
        )
    )


def visitors(*names: str, host: str = "") -> list[Visitor]:
    return [Visitor(name, host) for name in names]


def test_the_stranger_that_waits_longest_makes_room() -> None:
    guests = house(3)
    a, b, c, d = visitors(*"abcd")
    assert all(guests.enter(v) for v in (a, b, c))
    guests.work(a)  # it is being answered
    assert guests.enter(d)
    assert (a.went, b.went, c.went, d.went) == (False, True, False, False)
    assert len(guests) == 3


def test_strangers_are_counted() -> None:
    guests = house(3)
    a, b, c = visitors(*"abc", host=ELSEWHERE)
    assert guests.enter(a) and guests.enter(b)
    assert not guests.enter(c) or a.went
    assert (len(guests), guests.strangers) == (2, 2)
    guests.know(b)
    guests.know(b)
    assert (len(guests), guests.strangers) == (2, 1)
    for leaving in (b, b, c, a):
        guests.leave(leaving)
    guests.know(b)  # its last request, read when it had to go
    assert (len(guests), guests.strangers) == (0, 0)


def test_strangers_go_before_those_who_have_the_key() -> None:
    guests = house(3)
    a, b, c, d, e = visitors(*"abcde")
    assert all(guests.enter(v) for v in (a, b, c))
    guests.know(a)
    guests.wait(a)
    assert guests.enter(d)
    assert b.went
    guests.know(c)
    guests.wait(c)
    guests.know(d)
    guests.wait(d)
    assert guests.enter(e)  # nobody is a stranger any more: who rests longest
    assert (a.went, c.went, d.went) == (True, False, False)


def test_nothing_under_way_is_ended_for_somebody_new() -> None:
    guests = house(2)
    a, b, c = visitors(*"abc")
    for visitor in (a, b):
        assert guests.enter(visitor)
        guests.know(visitor)
        guests.work(visitor)
    assert not guests.enter(c)
    assert len(guests) == 2
    guests.leave(c)  # its connection ends all the same
    guests.wait(a)
    assert guests.enter(c)
    assert a.went


def test_one_address_has_so_many_strangers_and_no_more() -> None:
    guests = house(100)
    a, b, c, d = visitors(*"abcd", host=ELSEWHERE)
    assert all(guests.enter(v) for v in (a, b, c))
    assert (a.went, b.went, c.went) == (True, False, False)
    guests.know(b)  # it is no stranger any more, so there is room again
    assert guests.enter(d)
    assert not any(v.went for v in (b, c, d))
    guests.work(c)
    guests.work(d)
    assert not guests.enter(Visitor("e", ELSEWHERE))
    assert guests.enter(Visitor("f", "192.0.2.2"))
    assert all(guests.enter(v) for v in visitors(*"ghijk"))  # this machine has no such limit


def test_bytes_are_counted_and_given_back() -> None:
    guests = house(most_bytes=100)
    assert guests.take(60, is_known=True)
    assert guests.take(40, is_known=True)
    assert not guests.take(1, is_known=True)
    guests.give(60)
    assert guests.take(60, is_known=True)
    assert guests.held_bytes == 100


def test_strangers_leave_a_quarter_to_those_who_have_the_key() -> None:
    guests = house(most_bytes=100)
    assert guests.take(75, is_known=False)
    assert not guests.take(1, is_known=False)
    assert guests.take(25, is_known=True)
    assert guests.held_bytes == 100


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/socket", ""),
        ("", ""),
    ],
)
def test_neighbourhood(host: str, expected: str) -> None:
    assert neighbourhood(host) == expected


@pytest.mark.parametrize("seed", range(20))
def test_random_comings_and_goings_keep_the_limits_and_leave_nothing(seed: int) -> None:
    chance = random.Random(seed)
    guests = house(8, 3)
    inside: list[Visitor] = []
    working: set[Visitor] = set()
    for number in range(500):
        step = chance.randrange(5)
        if step <= 1:
            visitor = Visitor(str(number), chance.choice(["", "192.0.2.1", "192.0.2.2"]))
            before = len(inside)
            if guests.enter(visitor):
                inside.append(visitor)
            else:
                assert before >= 3
            assert not any(v.went for v in working)
            inside = [v for v in inside if not v.went]
        elif inside:
            visitor = chance.choice(inside)
            if step == 2:
                guests.leave(visitor)
                inside.remove(visitor)
                working.discard(visitor)
            elif step == 3:
                guests.work(visitor)
                if chance.random() < 0.5 and not visitor.is_known:
                    guests.know(visitor)
                working.add(visitor)
            elif visitor in working:
                guests.wait(visitor)
                working.discard(visitor)
        assert len(guests) == len(inside) <= 8
        for host in ("192.0.2.1", "192.0.2.2"):
            assert sum(v.host == host and not v.is_known for v in inside) <= 3
    for visitor in inside:
        guests.leave(visitor)
    assert len(guests) == 0
    assert all(guests.enter(v) for v in visitors("x", "y", "z"))
