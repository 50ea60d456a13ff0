"""A small network on a row: numbers through a standardised dense layer, the first bytes and the tokens through a table of
vectors, all bytes in patches. The preparation of a row is part of the network, so it travels in the ONNX graph."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# Where each direction's part of `bytes` begins, and its length.
CLIENT, SERVER, END = 0, 512, 784


@dataclass(frozen=True)
class Settings:
    """What can be tried."""

    hidden: int = 128
    second: int = 0
    prefix: int = 16  # bytes of each direction that are looked up by position, as two half bytes
    patch: int = 16
    patch_width: int = 0
    epochs: int = 12
    batch: int = 256
    rate: float = 2e-3
    decay: float = 0.1
    clip: float = 4.0  # of standardised numbers
    drop: float = 0.2  # how often a whole kind of input is taken away in training, so that none is relied on alone
    dropout: float = 0.0
    smoothing: float = 0.0
    noise: float = 0.0


class Network(nn.Module):
    """Inputs as the feature schema has them, one score a class out."""

    def __init__(self, schema: dict, classes: int, settings: Settings = Settings(), seed: int = 1):
        super().__init__()
        torch.manual_seed(seed)
        self.settings, self.classes, self.seed = settings, classes, seed
        columns = next(t for t in schema["tensors"] if t["name"] == "meta")["columns"]
        p = settings.prefix
        # Categories: columns whose numbers are names. Those of both directions have vectors of their own and one of either.
        sizes = {"token": len(schema["tokens"]), "family": len(schema["families"])}
        own, either, begin = [], [], 2 * p * 32
        for kind, size in sizes.items():
            for direction in range(2):
                own.append((columns.index(f"{('client', 'server')[direction]}: {kind}"), begin + direction * size, size))
            either += [begin + 2 * size] * 2
            begin += 3 * size
        own.append((columns.index("IP protocol number"), begin, 256))
        counted = [i for i in range(len(columns)) if i not in {column for column, _, _ in own}]
        numbers = len(counted) + 48
        self.register_buffer("counted", torch.tensor(counted))
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("deviation", torch.ones(numbers))
        self.register_buffer("at", torch.arange(2 * p) * 32)
        self.register_buffer("columns", torch.tensor([column for column, _, _ in own]))
        self.register_buffer("own", torch.tensor([at for _, at, _ in own]))
        self.register_buffer("last", torch.tensor([size - 1.0 for _, _, size in own]))
        self.register_buffer("either", torch.tensor(either))
        h = settings.hidden
        self.dense = nn.Linear(2 * numbers, h)
        self.table = nn.Parameter(torch.randn(begin + 256, h) * 0.1)
        if settings.patch_width:
            w = settings.patch_width
            self.embed = nn.Linear(settings.patch, w)
            self.place = nn.Parameter(torch.randn(784 // settings.patch, w) * 0.1)
            self.join = nn.Linear(4 * w, h)
        if settings.second:
            self.deep = nn.Linear(h, settings.second)
        self.out = nn.Linear(settings.second or h, classes)

    def numbers(self, series: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
        """Return the numbers of each row on a logarithmic scale; NaN is absent."""
        x = torch.cat([meta[:, self.counted], series[:, 0] * series[:, 1], series[:, 2] * series[:, 3]], 1)
        return torch.sign(x) * torch.log(torch.abs(x) + 1)

    def rows(self, octets: torch.Tensor, meta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows of the table that each row takes: of half bytes, of categories."""
        p = self.settings.prefix
        values = torch.cat([octets[:, CLIENT:CLIENT + p], octets[:, SERVER:SERVER + p]], 1).long()
        high = torch.div(values, 16, rounding_mode="floor")
        category = meta[:, self.columns]
        # A row that no Go code made may hold anything there; the graph must not look outside of its table.
        category = torch.minimum(torch.where(torch.isnan(category), torch.zeros_like(category), category).clamp(min=0), self.last).long()
        return (torch.cat([self.at + high, self.at + 16 + values - 16 * high], 1),
                torch.cat([self.own + category, self.either + category[:, :len(self.either)]], 1))

    def prepare(self, octets: torch.Tensor, series: torch.Tensor, meta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the standardised numbers with marks of what is absent, and the rows of the table."""
        x = self.numbers(series, meta)
        absent = torch.isnan(x)
        z = ((torch.where(absent, self.mean, x) - self.mean) / self.deviation).clamp(-self.settings.clip, self.settings.clip)
        return torch.cat([z, absent.float()], 1), *self.rows(octets, meta)

    def patches(self, octets: torch.Tensor) -> torch.Tensor:
        """Return what the patches say."""
        x = octets.float().reshape(-1, 784 // self.settings.patch, self.settings.patch)
        x = functional.relu(self.embed(x / 64 - 1) + self.place)
        c, s = x[:, :SERVER // self.settings.patch], x[:, SERVER // self.settings.patch:]
        return self.join(torch.cat([c.mean(1), c.amax(1), s.mean(1), s.amax(1)], 1))

    def forward(self, octets: torch.Tensor, series: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        z, halves, tokens = self.prepare(octets, series, meta)
        h = self.dense(z) + functional.embedding(torch.cat([halves, tokens], 1), self.table).sum(1)
        return self.score(h + self.patches(octets) if self.settings.patch_width else h)

    def score(self, h: torch.Tensor) -> torch.Tensor:
        """Return the scores of what the kinds of input add up to."""
        h = functional.dropout(functional.relu(h), self.settings.dropout, self.training)
        if self.settings.second:
            h = functional.dropout(functional.relu(self.deep(h)), self.settings.dropout, self.training)
        return self.out(h)

    def learn(self, octets: torch.Tensor, z: torch.Tensor, halves: torch.Tensor, tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Return the scores of prepared rows; keep says of each which kinds of input it may use."""
        if self.settings.noise:
            z = z + self.settings.noise * torch.randn_like(z)
        h = self.dense(z * keep[:, :1])
        h = h + functional.embedding_bag(halves, self.table, mode="sum") * keep[:, 1:2]
        h = h + functional.embedding_bag(tokens, self.table, mode="sum") * keep[:, 2:3]
        return self.score(h + self.patches(octets) * keep[:, 3:4] if self.settings.patch_width else h)

    def fit(self, octets: np.ndarray, series: np.ndarray, meta: np.ndarray, label: np.ndarray, weight: np.ndarray) -> "Network":
        """Train with AdamW on weighted cross entropy; the rate falls as a cosine."""
        s = self.settings
        generator = torch.Generator().manual_seed(self.seed)
        o, r, m, y = (torch.from_numpy(np.ascontiguousarray(a)) for a in (octets, series, meta, label))
        w = torch.from_numpy((weight / weight.mean()).astype(np.float32))
        with torch.no_grad():
            x = self.numbers(r, m).numpy()
            x[:, np.isnan(x).all(axis=0)] = 0
            self.mean[:] = torch.from_numpy(np.nanmean(x, axis=0))
            self.deviation[:] = torch.from_numpy(np.nanstd(x, axis=0) + 1e-2)
            prepared = (o, *self.prepare(o, r, m))
        decayed = [p for n, p in self.named_parameters() if not n.endswith("bias")]
        plain = [p for n, p in self.named_parameters() if n.endswith("bias")]
        optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": s.decay}, {"params": plain, "weight_decay": 0.0}], lr=s.rate)
        steps, step = s.epochs * (len(y) // s.batch), 0
        self.train()
        for _ in range(s.epochs):
            order = torch.randperm(len(y), generator=generator)
            for b in order[:len(y) // s.batch * s.batch].split(s.batch):
                step += 1
                for g in optimiser.param_groups:
                    g["lr"] = s.rate * 0.5 * (1 + np.cos(np.pi * step / steps))
                keep = (torch.rand(len(b), 4, generator=generator) >= s.drop).float()
                loss = functional.cross_entropy(self.learn(*(p[b] for p in prepared), keep), y[b], reduction="none", label_smoothing=s.smoothing)
                optimiser.zero_grad(set_to_none=True)
                (loss * w[b]).mean().backward()
                optimiser.step()
        self.eval()
        return self

    def margins(self, octets: np.ndarray, series: np.ndarray, meta: np.ndarray) -> np.ndarray:
        """Return the scores before calibration."""
        self.eval()
        with torch.no_grad():
            parts = [self(*(torch.from_numpy(np.ascontiguousarray(a[i:i + 512])) for a in (octets, series, meta))) for i in range(0, len(meta), 512)]
        return torch.cat(parts).numpy()
