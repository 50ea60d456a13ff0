"""TreeEnsembleClassifier of ai.onnx.ml in PyTorch: all trees of all rows go down one level at a time."""

import torch


class Trees:
    """One node of the graph: x [rows, features] in, the best class and the scores [rows, classes] out."""

    def __init__(self, **a):
        modes = {m.decode() for m in a["nodes_modes"]}
        if modes - {"LEAF", "BRANCH_LT"} or a.get("post_transform", b"NONE") != b"NONE":
            raise SystemExit(f"trees with {modes} and {a.get('post_transform')} have no form in PyTorch here: trees.py")
        place = {key: n for n, key in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"]))}
        leaf = [m == b"LEAF" for m in a["nodes_modes"]]

        def children(which: str) -> torch.Tensor:  # a leaf leads to itself
            return torch.tensor([n if leaf[n] else place[tree, child] for n, (tree, child) in enumerate(zip(a["nodes_treeids"], a[which]))])

        self.true, self.false = children("nodes_truenodeids"), children("nodes_falsenodeids")
        self.feature = torch.tensor(a["nodes_featureids"])
        self.value = torch.tensor(a["nodes_values"])
        self.missing = torch.tensor(a["nodes_missing_value_tracks_true"], dtype=torch.bool)
        self.roots = torch.tensor([place[tree, 0] for tree in sorted(set(a["nodes_treeids"]))])
        self.base = torch.tensor(a["base_values"])
        self.kind, self.weight = torch.zeros(len(leaf), dtype=torch.long), torch.zeros(len(leaf))
        for tree, node, kind, weight in zip(a["class_treeids"], a["class_nodeids"], a["class_ids"], a["class_weights"]):
            at = place[tree, node]
            if self.weight[at] != 0:
                raise SystemExit("a leaf with several classes has no form in PyTorch here: trees.py")
            self.kind[at], self.weight[at] = kind, weight
        self.depth = self.levels()

    def levels(self) -> int:
        """Return how often the deepest tree branches."""
        at, depth = self.roots, 0
        while True:
            below = torch.unique(torch.cat([self.true[at], self.false[at]]))
            if torch.equal(below, torch.unique(at)):
                return depth
            at, depth = below, depth + 1

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = self.roots.expand(x.shape[0], -1)
        for _ in range(self.depth):
            value = x.gather(1, self.feature[at])
            left = (value < self.value[at]) | (torch.isnan(value) & self.missing[at])
            at = torch.where(left, self.true[at], self.false[at])
        scores = self.base.repeat(x.shape[0], 1).scatter_add_(1, self.kind[at], self.weight[at])
        return scores.argmax(1), scores
