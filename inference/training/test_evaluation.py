"""Tests of what the experiments rest on: `python -m unittest discover inference/training`."""

import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np

import intervals
import ndpi
import pictures
import threat

SAID = """
\t1\t 192.0.2.7                	 1      
\t1\tTCP 192.0.2.1:1054 <-> 192.0.2.2:443 [proto: 91.178/TLS.Amazon][Encrypted][Confidence: DPI][cat: Web/5][2 pkts/90 bytes <-> 1 pkts/60 bytes]
\t2\tUDP [2001:db8::1::1]:5353 -> [ff02::fb]:5353 [VLAN: 16][proto: 8/MDNS][ClearText][Confidence: DPI][cat: Network/14][1 pkts/90 bytes -> 0 pkts/0 bytes]
\t3\tTCP 192.0.2.1:1055 <-> 192.0.2.2:445 [proto: 10.41/NetBIOS.SMBv23][ClearText][Confidence: DPI (cache)][cat: System/18][2 pkts/90 bytes]
\t4\tTCP 192.0.2.1:1056 <-> 192.0.2.2:3306 [proto: 20/MySQL][ClearText][Confidence: Match by port][cat: Database/11][2 pkts/90 bytes]
\t5\t50 192.0.2.1:0 <-> 192.0.2.2:0 [proto: 79/IPsec][Encrypted][Confidence: DPI][cat: VPN/2][1 pkts/31 bytes <-> 1 pkts/31 bytes]
Undetected flows:
\t1\tTCP 192.0.2.1:1056 <-> 192.0.2.2:3306 [VLAN: 2][proto: 0/Unknown][ClearText][Confidence: Unknown][7 pkts/10 bytes]
\t2\tUDP 192.0.2.3:7 -> 192.0.2.2:7 [proto: 0/Unknown][ClearText][Confidence: Unknown][7 pkts/10 bytes]
"""

TAXONOMY = {"tls": ("tls", "web"), "mysql": ("sql-database", "database"), "smb": ("smb", "file-transfer")}


class Answers(unittest.TestCase):
    def setUp(self):
        with mock.patch("subprocess.run", return_value=mock.Mock(stdout=SAID)):
            self.found = ndpi.look(Path("capture.pcap"))

    def answer(self, proto: str, a: str, a_port: str, b: str, b_port: str) -> ndpi.Answer:
        return self.found[proto, ndpi.ends(a, a_port, b, b_port)]

    def test_labels(self):
        for label, rank, ends in (
            ("tls", ndpi.SEEN, ("tcp", "192.0.2.2", "443", "192.0.2.1", "1054")),
            ("mdns", ndpi.SEEN, ("udp", "2001:db8:0:1::1", "5353", "ff02::fb", "5353")),
            ("smb", ndpi.SEEN, ("tcp", "192.0.2.1", "1055", "192.0.2.2", "445")),
            ("mysql", ndpi.GUESS, ("tcp", "192.0.2.1", "1056", "192.0.2.2", "3306")),
            ("ipsec", ndpi.SEEN, ("esp", "192.0.2.1", "0", "192.0.2.2", "0")),
            (None, ndpi.NOTHING, ("udp", "192.0.2.3", "7", "192.0.2.2", "7")),
        ):
            with self.subTest(ends=ends):
                a = self.answer(*ends)
                self.assertEqual((a.label, a.rank), (label, rank))
        self.assertEqual(len(self.found), 6)

    def test_positions(self):
        said = [self.answer("tcp", "192.0.2.2", "443", "192.0.2.1", "1054"), self.answer("tcp", "192.0.2.1", "1056", "192.0.2.2", "3306"),
                self.answer("udp", "2001:db8:0:1::1", "5353", "ff02::fb", "5353"), None]
        names = ["sql-database", "tls"]
        self.assertEqual(ndpi.positions(said, names, TAXONOMY, ndpi.SEEN).tolist(), [1, ndpi.NONE, ndpi.ELSE, ndpi.NONE])
        self.assertEqual(ndpi.positions(said, names, TAXONOMY, ndpi.GUESS).tolist(), [1, 0, ndpi.ELSE, ndpi.NONE])

    def test_said_once(self):
        rows = [{"file": "a.pcap", "proto": "tcp", "src_ip": "192.0.2.1", "src_port": "1055", "dst_ip": "192.0.2.2", "dst_port": "445"}]
        with TemporaryDirectory() as folder, mock.patch.object(ndpi, "version", return_value="1"):
            kept = Path(folder) / "said.json"
            with mock.patch.object(ndpi, "look", return_value=self.found) as look:
                first = ndpi.answers(Path(folder), rows, kept)
                again = ndpi.answers(Path(folder), rows, kept)
            self.assertEqual(look.call_count, 1)
            self.assertEqual(first, again)
            self.assertEqual(first[0].label, "smb")
            with mock.patch.object(ndpi, "version", return_value="2"), mock.patch.object(ndpi, "look", return_value={}) as look:
                self.assertEqual(ndpi.answers(Path(folder), rows, kept), [None])
                self.assertEqual(look.call_count, 1)


class Intervals(unittest.TestCase):
    def test_figures(self):
        label, answer, group = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, -1]), np.array(["a", "a", "b", "c", "d"])
        each = intervals.f1_by_class(label, answer, 4)
        np.testing.assert_allclose(each[:3], [2 / 3, 0.8, 0])
        self.assertTrue(np.isnan(each[3]))
        s = intervals.scores(label, answer, group, np.array([0, 1, 2]))
        self.assertEqual((s["accuracy"], s["macro_f1"], s["groups"]), (0.6, 0.4889, 4))
        self.assertLessEqual(s["accuracy_interval"][0], s["accuracy"])
        self.assertLess(s["accuracy_interval"][0], s["accuracy_interval"][1])

    def test_one_group_has_no_spread(self):
        self.assertEqual(intervals.over_groups(np.array(["a", "a"]), intervals.accuracy(np.array([1, 0]))), [0.5, 0.5])


class Threat(unittest.TestCase):
    def test_auroc(self):
        self.assertEqual(threat.auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0])), 1)
        self.assertEqual(threat.auroc(np.array([1.0]), np.array([1.0, 1.0])), 0.5)
        self.assertEqual(threat.auroc(np.array([0.0]), np.array([1.0])), 0)


class Pictures(unittest.TestCase):
    def test_same_bytes(self):
        with TemporaryDirectory() as folder:
            one, two = Path(folder) / "1.svg", Path(folder) / "2.svg"
            for path in (one, two):
                pictures.confusion(np.array([0, 0, 1]), np.array([0, 1, -1]), ["a<b", "c"], path)
            self.assertEqual(one.read_bytes(), two.read_bytes())
            self.assertIn("a&lt;b", one.read_text())


if __name__ == "__main__":
    unittest.main()
