"""The graph says what was trained, in batches and alone, and is the same file when it is made again."""

import hashlib
import unittest
from dataclasses import replace

import numpy as np
import torch

import graph
import score
from learner import Recipe
from network import Settings as NetworkSettings
from tests import tiny
from trees import Settings as TreesSettings

SMALL, FEW = NetworkSettings(hidden=16, epochs=12, batch=64, drop=0), TreesSettings(rounds=3, depth=4)
RECIPES = {"network": Recipe(1, 0, SMALL, FEW), "patches": Recipe(1, 0, replace(SMALL, patch_width=8), FEW), "trees": Recipe(0, 1, SMALL, FEW), "both": Recipe(1, 1, SMALL, FEW)}
TEMPERATURE = 1.3


class GraphTest(unittest.TestCase):
    """Parity, with a fifth of the numbers absent."""

    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        cls.corpus = tiny.corpus()
        cls.models = {name: recipe.fit(cls.corpus) for name, recipe in RECIPES.items()}
        cls.files = {name: graph.build(m.graphs(), len(tiny.CLASSES), TEMPERATURE, {"key": "value"}) for name, m in cls.models.items()}

    def run_graph(self, name: str, c) -> dict:
        return graph.run(self.files[name], c.bytes, c.series, c.meta)

    def test_says_what_was_trained(self):
        c = self.corpus
        self.assertGreater(np.isnan(c.meta).mean(), 0.15)
        for name, model in self.models.items():
            with self.subTest(name):
                margins = model.margins(c)
                want, out = score.softmax(margins, TEMPERATURE).clip(max=graph.MOST), self.run_graph(name, c)
                self.assertLess(np.abs(out["probs"] - want).max(), 1e-5)
                self.assertLess(np.abs(out["energy"] - score.energy(margins, TEMPERATURE)).max(), 1e-4)
                two = np.sort(want, axis=1)[:, -2:]
                apart = two[:, 1] - two[:, 0] > 1e-4
                self.assertGreater(apart.mean(), 0.9)
                self.assertTrue((out["label"] == want.argmax(axis=1))[apart].all())

    def test_learns(self):
        for name in RECIPES:
            right = (self.run_graph(name, self.corpus)["label"] == self.corpus.label).mean()
            self.assertGreater(right, 0.35, name)  # five classes: chance is 0.2

    def test_rows_alone_are_rows_in_a_batch(self):
        for name in RECIPES:
            out = self.run_graph(name, self.corpus)
            for i in range(0, 40):
                alone = self.run_graph(name, self.corpus.take(np.array([i])))
                self.assertLess(np.abs(alone["probs"][0] - out["probs"][i]).max(), 1e-6, name)
                self.assertLess(abs(alone["energy"][0] - out["energy"][i]), 1e-4, name)

    def test_outrageous_rows_have_answers(self):
        c = self.corpus.take(np.arange(6))
        c.meta[0], c.meta[1], c.meta[2], c.meta[3] = np.nan, 1e30, -1e30, 0
        c.meta[4], c.series[5] = np.inf, np.nan
        for name in RECIPES:
            out = self.run_graph(name, c)
            self.assertTrue(np.isfinite(out["probs"]).all() and np.isfinite(out["energy"]).all(), name)
            np.testing.assert_allclose(out["probs"].sum(axis=1), 1, atol=1e-4)

    def test_is_the_same_file_again(self):
        for name, recipe in RECIPES.items():
            again = graph.build(recipe.fit(tiny.corpus()).graphs(), len(tiny.CLASSES), TEMPERATURE, {"key": "value"})
            self.assertEqual(hashlib.sha256(again).hexdigest(), hashlib.sha256(self.files[name]).hexdigest(), name)

    def test_another_seed_is_another_file(self):
        other = graph.build(RECIPES["network"].fit(self.corpus, seed=2).graphs(), len(tiny.CLASSES), TEMPERATURE, {"key": "value"})
        self.assertNotEqual(other, self.files["network"])

    def test_no_probability_is_one(self):
        model = self.models["network"]
        file = graph.build(model.graphs(), len(tiny.CLASSES), 1e-3, {})
        c = self.corpus
        self.assertLess(graph.run(file, c.bytes, c.series, c.meta)["probs"].max(), 1)  # the threshold of unknown is 1


if __name__ == "__main__":
    unittest.main()
