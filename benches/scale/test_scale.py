"""That the simulation keeps its books, and would notice if it did not: a part of `make lint`."""

import unittest
from dataclasses import replace
from unittest.mock import patch

import given
import line as lines
from given import AT_LEAST_ONCE, EXACTLY_ONCE, HOUR, KIP_848, RANGE, RESTART, SESSION, STATIC, STICKY, Setting
from groups import Classic, balanced
from line import Broken, Line, Worker

PROTOCOLS = STICKY, STATIC, KIP_848, RANGE
FEW = Setting(workers=20, partitions=100, swing=0)


def ran(setting, *events, hours=0.5):
    line = Line(setting, hours * HOUR, tick=5)
    for time, what, *about in events:
        line.at(time, getattr(line, what), *about)
    return line.run()


def a_bad_day(setting):
    line = Line(setting, HOUR / 2, tick=5)
    line.at(101, line.restart, 0, line.kill, RESTART)
    line.at(130, line.lose_node, 1)
    line.at(200, line.slow, 7)
    line.at(300, line.update)
    line.at(700, line.add, 3)
    line.at(900, line.restart, 9, line.kill, RESTART)
    return line.run()


class Books(unittest.TestCase):
    def test_whatever_happens_each_document_is_done_and_none_is_seen_twice_under_exactly_once(self):
        for protocol in PROTOCOLS:
            for delivery in (AT_LEAST_ONCE, EXACTLY_ONCE):
                with self.subTest(protocol=protocol, delivery=delivery):
                    line = a_bad_day(replace(FEW, protocol=protocol, delivery=delivery))
                    self.assertGreater(line.redone, 1)
                    self.assertAlmostEqual(line.repeated, 0 if delivery == EXACTLY_ONCE else line.redone, places=3)

    def test_leaving_in_good_order_repeats_nothing(self):
        for protocol in PROTOCOLS:
            with self.subTest(protocol=protocol):
                line = ran(replace(FEW, protocol=protocol), (100, "update"))
                self.assertAlmostEqual(line.repeated, 0, places=3)
                self.assertGreater(line.stood, 0)

    def test_the_same_seed_gives_the_same_and_another_one_something_else(self):
        first, second, other = (a_bad_day(replace(FEW, seed=seed)) for seed in (1, 1, 2))
        self.assertEqual((first.late, first.written), (second.late, second.written))
        self.assertNotEqual(first.late, other.late)

    def test_a_document_that_is_lost_is_noticed(self):
        def skip(line, partition):
            line.done[partition] = line.committed[partition] = line.committed[partition] + 1

        for delivery in (AT_LEAST_ONCE, EXACTLY_ONCE):
            with self.subTest(delivery=delivery), patch.object(Line, "rewind", skip), self.assertRaises(Broken):
                a_bad_day(replace(FEW, delivery=delivery))

    def test_a_document_that_is_seen_twice_under_exactly_once_is_noticed(self):
        def leak(line, partition):
            line.seen[partition] += line.done[partition] - line.committed[partition]
            line.done[partition] = line.committed[partition]

        with patch.object(Line, "rewind", leak), self.assertRaises(Broken):
            a_bad_day(replace(FEW, delivery=EXACTLY_ONCE))

    def test_a_second_owner_is_noticed(self):
        line = Line(FEW, HOUR, tick=5)
        with self.assertRaises(Broken):
            line.give(0, line.places[-1])
        line.places[-1].partitions.append(0)
        with self.assertRaises(Broken):
            line.audit()

    def test_a_partition_that_nobody_gets_is_noticed(self):
        with patch.object(Classic, "assign", lambda group: None), self.assertRaises(Broken):
            ran(FEW, (100, "kill", 0))


class Figures(unittest.TestCase):
    def test_a_backlog_is_caught_up_with_in_the_time_that_arithmetic_says(self):
        with patch.object(lines, "KEYS", 1e12):  # all partitions alike
            line = Line(replace(FEW, protocol=STATIC), HOUR / 2, tick=1)
        line.at(100.5, line.restart, 3, line.stop, 30)
        line.run()
        # What came in 30 s at 80 % of the speed, done with the other 20 %.
        self.assertAlmostEqual(line.late_at - 100.5, 30 + 30 * 0.8 / 0.2, delta=6)
        self.assertAlmostEqual(line.worst, 30, delta=1)

    def test_a_dead_workers_partitions_wait_for_its_session(self):
        for protocol in (STICKY, KIP_848):
            with self.subTest(protocol=protocol):
                line = ran(replace(FEW, protocol=protocol), (100.5, "kill", 0))
                self.assertGreater(line.stood_longest, SESSION - given.BEAT_848)
                self.assertLess(line.stood_longest, SESSION + 2 * given.BEAT_848)

    def test_only_range_stops_all_for_one(self):
        stood = {protocol: ran(replace(FEW, protocol=protocol), (100, "add", 1)).stood for protocol in PROTOCOLS}
        self.assertEqual(stood[RANGE], FEW.partitions)
        self.assertTrue(all(stood[protocol] <= 5 for protocol in PROTOCOLS if protocol != RANGE))

    def test_partitions_are_shared_out_evenly_with_few_moves(self):
        first, second, third = members = [Worker(1, 0, 0) for _ in range(3)]
        owners = balanced(members, [None] * 10)
        self.assertEqual(sorted(owners.count(member) for member in members), [3, 3, 4])
        self.assertEqual(balanced(members, owners), owners)
        fewer = balanced([first, second], owners)
        self.assertEqual([fewer.count(first), fewer.count(second)], [5, 5])
        moved = [old for old, new in zip(owners, fewer) if old is not new]
        self.assertTrue(all(old is third for old in moved))

    def test_what_is_called_measured_stands_in_the_results(self):
        measured = {value for _, value, _, kind, _ in given.GIVEN if kind == "measured"}
        self.assertIn(given.result("W: documents/s"), measured)
        with self.assertRaises(LookupError):
            given.result("what nobody measured")


if __name__ == "__main__":
    unittest.main()
