"""Which rows count, what they are called, and which figures come of them."""

import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

import numpy as np

import dataset
import experiments
import graph
import reference
import score
from tests import tiny


def row(session: int, label: str, group: str, **more) -> dict:
    """Return a row of rows.csv."""
    return {"session": session, "packets_held": 3, "payloads_held": 2, "whole": "true", "server_port": 53, "variant": "", "file": f"source/{group}.pcap", "proto": "udp",
            "label": label, "confidence": "dpi", "group": group, "dup": 0, "usable": 1} | more


class DatasetTest(unittest.TestCase):
    """Reading."""

    def read(self, rows: list[dict]) -> dataset.Corpus:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        return dataset.read(*tiny.write(folder, rows))

    def test_tiers_and_names(self):
        rows = [row(i, "dns", f"g{i % 12}") for i in range(60)] + [row(100 + i, ("pop3", "imap")[i % 2], f"m{i % 3}") for i in range(6)]
        rows += [row(200, "odd", "o"), row(201, "pptp", "p")]
        c = self.read(rows)
        self.assertEqual(c.names, ["dns", "mailbox", dataset.UNKNOWN])
        self.assertEqual(c.tiers, [dataset.STRONG, dataset.WEAK, dataset.BACKGROUND])
        self.assertEqual(c.categories, ["name-service", "mail", ""])
        self.assertEqual([c.names[k] for k in c.label[-2:]], [dataset.UNKNOWN] * 2)

    def test_corrections(self):
        def correction(i: int, label: str) -> dict:
            return row(200 + i, label, f"correction:{i}", file="", variant="correction", confidence="correction")
        rows = [row(i, "dns", f"g{i % 12}") for i in range(60)]
        rows += [correction(i, ("ours", "unknown", "dns")[i // 4]) for i in range(12)]
        c = self.read(rows)
        self.assertEqual(c.names, ["dns", "ours", dataset.UNKNOWN])
        self.assertEqual([c.names[k] for k in c.label[-12:]], ["ours"] * 4 + [dataset.UNKNOWN] * 4 + ["dns"] * 4)

    def test_what_is_left_out(self):
        rows = [row(i, "dns", f"g{i}") for i in range(4)]
        rows += [row(10, "dns", "d", dup=1), row(11, "dns", "u", usable=0), row(12, "unlabelled", "n"), row(13, "dns", "g0", all=0, payloads_held=1)]
        c = self.read(rows)
        # Sessions 0 and 13 have the same bytes: one of them counts.
        self.assertEqual([s for s in c.session if s not in ("0", "13")], ["1", "2", "3"])
        self.assertEqual(len(c), 4)

    def test_sessions_without_payload_are_unknown(self):
        c = self.read([row(i, "dns", f"g{i}") for i in range(4)] + [row(9, "dns", "g9", payloads_held=0), row(10, "dns", "g10", payloads_held=0, proto="icmp")])
        said = dict(zip(c.session, c.label))
        self.assertEqual(c.names[said["9"]], dataset.UNKNOWN)
        self.assertEqual(c.names[said["10"]], "dns")
        self.assertFalse(c.scored[c.session == "9"][0])

    def test_as_captured_wins_over_what_was_made_of_it(self):
        rows = [row(i, "dns", f"g{i}", all=i) for i in range(3)] + [row(0, "dns", "g0", variant="nat", all=0), row(1, "dns", "g1", variant="loss", all=77)]
        c = self.read(rows)
        self.assertEqual(sorted(c.variant), ["", "", "", "loss"])

    def test_cap(self):
        c = self.read([row(i, "dns", "one", all=i) for i in range(dataset.CAP + 20)] + [row(200, "dns", "two", all=200)])
        self.assertEqual(len(c), dataset.CAP + 1)

    def test_folds_keep_groups_together(self):
        c = tiny.corpus()
        for g in set(c.group):
            self.assertEqual(len(set(c.fold[c.group == g])), 1)
        self.assertEqual(set(c.fold), set(range(dataset.FOLDS)))


class ScoreTest(unittest.TestCase):
    """Figures."""

    def test_tiers_count_what_weak_sessions_are_called(self):
        c = tiny.corpus(40)
        label = np.array([0] * 10 + [1] * 10 + [2] * 10 + [3] * 10)
        answer = label.copy()
        answer[30:] = 0  # the weak class is called dns
        out = score.tiers(c, label, answer, c.group[:40], rounds=False)
        self.assertEqual(out["strong"]["accuracy"], 1)
        self.assertAlmostEqual(out["strong"]["macro_f1"], (2 * 10 / 30 + 1 + 1) / 3, places=4)
        self.assertEqual(out["all"]["accuracy"], 0.75)

    def test_interval_widens_with_fewer_groups(self):
        c = tiny.corpus(400)
        random = np.random.default_rng(1)
        label = random.integers(0, 3, 400)
        answer = np.where(random.random(400) < 0.8, label, (label + 1) % 3)
        many = score.tiers(c, label, answer, np.arange(400).astype(str))["strong"]["accuracy_interval"]
        few = score.tiers(c, label, answer, np.where(np.arange(400) < 300, "a", np.arange(400).astype(str)))["strong"]["accuracy_interval"]
        self.assertLess(many[0], 0.8)
        self.assertGreater(many[1], 0.8)
        self.assertGreater(few[1] - few[0], many[1] - many[0])

    def test_calibration(self):
        sure = np.tile([0.9, 0.1], (100, 1))
        self.assertAlmostEqual(score.calibration_error(sure, np.zeros(100, int)), 0.1)
        self.assertAlmostEqual(score.calibration_error(np.tile([0.5, 0.5], (300, 1)), np.arange(300) % 2), 0, places=2)

    def test_no_row_is_judged_by_its_own_fold(self):
        c = tiny.corpus()
        margins = np.random.default_rng(1).normal(0, 1, (len(c), len(c.names))).astype(np.float32)
        first = experiments.calibrate(c, margins)
        held = c.fold == 0
        label = np.where(held, (c.label + 1) % 4, c.label)
        second = experiments.calibrate(replace(c, label=label), margins)
        np.testing.assert_array_equal(first.tau[held], second.tau[held])
        np.testing.assert_array_equal(first.temperature[held], second.temperature[held])

    def test_unknown_is_never_believed(self):
        probs = np.tile([0.0, 1.0], (20, 1))
        self.assertEqual(score.thresholds(probs, np.ones(20, int))[-1], 1)

    def test_detection(self):
        out = score.detection(np.linspace(0, 1, 101), np.full(50, 2.0))
        self.assertEqual((out["auroc"], out["detected"]), (1, 1))

    def test_histogram(self):
        h = reference.histogram(np.array([0, 0, 0, 0, 1, 2, 3, 4, np.nan, np.nan]))
        self.assertEqual(len(h["shares"]), len(h["edges"]) + 2)
        self.assertAlmostEqual(sum(h["shares"]), 1)
        self.assertEqual(h["shares"][-1], 0.2)
        self.assertEqual(h["edges"], sorted(set(h["edges"])))
        self.assertEqual(h["shares"][0], 0)  # bin 0 is below the first edge, which is the least value here

    def test_histogram_of_what_is_served(self):
        """The most frequent probability of all is the greatest that the graph gives: it must not fall below its own edge."""
        served = np.r_[np.full(80, np.float32(graph.MOST)), np.linspace(0.1, 0.9, 20, dtype=np.float32)]
        h = reference.histogram(np.r_[np.full(80, 1.0), np.linspace(0.1, 0.9, 20)].clip(max=graph.MOST))
        counts = np.bincount(np.searchsorted(h["edges"], served, side="right"), minlength=len(h["edges"]) + 1)
        self.assertAlmostEqual(counts[-1] / len(served), h["shares"][len(h["edges"])])
        self.assertAlmostEqual(h["shares"][len(h["edges"])], 0.8)


if __name__ == "__main__":
    unittest.main()
