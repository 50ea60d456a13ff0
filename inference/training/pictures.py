"""Pictures of docs/model.md as small SVG files, written by hand: the same figures give the same bytes."""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

INK, PAPER, BLUE, ORANGE = "#24292f", "#ffffff", "#0969da", "#bc4c00"


class Drawing:
    """An SVG of some size in pixels."""

    def __init__(self, width: int, height: int, title: str):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                      f'font-family="sans-serif" font-size="11" fill="{INK}">', f"<title>{escape(title)}</title>",
                      f'<rect width="{width}" height="{height}" fill="{PAPER}"/>']

    def text(self, x: float, y: float, words: str, anchor: str = "middle", turn: int = 0, size: int = 11) -> None:
        """Write words; anchor says which end is at x."""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{turned}>{escape(words)}</text>')

    def line(self, points: list[tuple[float, float]], colour: str = INK, width: float = 1, dash: str = "") -> None:
        """Join points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def box(self, x: float, y: float, width: float, height: float, colour: str, opacity: float = 1) -> None:
        """Fill a rectangle."""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}" fill-opacity="{opacity:.2f}"/>')

    def dot(self, x: float, y: float, colour: str) -> None:
        """Draw a point."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self.parts, "</svg>", ""]))


class Plane:
    """Axes in a drawing: where a pair of values lies."""

    def __init__(self, drawing: Drawing, frame: tuple[int, int, int, int], x: tuple[float, float], y: tuple[float, float]):
        self.drawing, (self.left, self.top, self.width, self.height), self.x, self.y = drawing, frame, x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a pair of values."""
        return (self.left + self.width * (x - self.x[0]) / (self.x[1] - self.x[0]),
                self.top + self.height * (1 - (y - self.y[0]) / (self.y[1] - self.y[0])))

    def axes(self, x_ticks: list[tuple[float, str]], y_ticks: list[tuple[float, str]], x_name: str, y_name: str) -> None:
        """Draw both axes."""
        bottom = self.top + self.height
        self.drawing.line([(self.left, self.top), (self.left, bottom), (self.left + self.width, bottom)])
        for value, words in x_ticks:
            x, _ = self.at(value, self.y[0])
            self.drawing.line([(x, bottom), (x, bottom + 4)])
            self.drawing.text(x, bottom + 16, words)
        for value, words in y_ticks:
            _, y = self.at(self.x[0], value)
            self.drawing.line([(self.left - 4, y), (self.left, y)])
            self.drawing.text(self.left - 7, y + 4, words, "end")
        self.drawing.text(self.left + self.width / 2, bottom + 32, x_name)
        self.drawing.text(14, self.top + self.height / 2, y_name, turn=-90)


def reliability(confidence: np.ndarray, right: np.ndarray, path: Path, bins: int = 15) -> None:
    """Draw how often answers are right against how sure they are, in bins of equal mass."""
    d = Drawing(360, 330, "Reliability: how often the model is right against how sure it is")
    p = Plane(d, (52, 14, 290, 262), (0, 1), (0, 1))
    ticks = [(v / 5, f"{v / 5:.1f}") for v in range(6)]
    p.axes(ticks, ticks, "probability of the answer", "share of right answers")
    d.line([p.at(0, 0), p.at(1, 1)], INK, 1, "4 3")
    order = np.argsort(confidence, kind="stable")
    points = [p.at(float(confidence[b].mean()), float(right[b].mean())) for b in np.array_split(order, bins) if len(b)]
    d.line(points, BLUE, 1.5)
    for x, y in points:
        d.dot(x, y, BLUE)
    d.save(path)


def learning_curve(shares: list[float], series: dict[str, list[float]], intervals: dict[str, list[list[float]]], path: Path) -> None:
    """Draw figures between 0 and 1 against the share of training groups, each with its intervals if there are any."""
    d = Drawing(420, 300, "Learning curve: figures on unseen groups against the share of groups trained on")
    values = [v for s in series.values() for v in s] + [v for i in intervals.values() for pair in i for v in pair]
    low = np.floor(min(values) * 20) / 20
    p = Plane(d, (52, 14, 250, 232), (0, max(shares)), (low, 1))
    steps = np.linspace(low, 1, 6)
    p.axes([(s, f"{100 * s:.0f} %") for s in shares], [(v, f"{v:.2f}") for v in steps], "groups of captures trained on", "figure on unseen groups")
    for colour, (name, each) in zip((BLUE, ORANGE, INK), series.items()):
        for share, (a, b) in zip(shares, intervals.get(name, [])):
            d.line([p.at(share, a), p.at(share, b)], colour, 1)
        points = [p.at(s, v) for s, v in zip(shares, each)]
        d.line(points, colour, 1.5)
        for x, y in points:
            d.dot(x, y, colour)
        d.text(points[-1][0] + 8, points[-1][1] + 4, name, "start")
    d.save(path)


def confusion(label: np.ndarray, answer: np.ndarray, names: list[str], path: Path) -> None:
    """Draw what sessions of each class (a row) were taken for (a column), shares of the row. Answers outside of names count
    for the row and have no column."""
    cell, left, top = 14, 118, 104
    n = len(names)
    d = Drawing(left + cell * n + 8, top + cell * n + 8, "Confusion: what sessions of each class were taken for")
    for k, name in enumerate(names):
        d.text(left - 5, top + cell * k + 11, name, "end", size=10)
        d.text(left + cell * k + 10, top - 5, name, "start", -60, 10)
        d.box(left, top + cell * k, cell * n, cell - 1, INK, 0.04)
        mine = label == k
        for j in range(n) if mine.any() else ():
            share = float((answer[mine] == j).mean())
            if share >= 0.005:
                d.box(left + cell * j, top + cell * k, cell - 1, cell - 1, BLUE if j == k else ORANGE, 0.12 + 0.88 * share)
    d.save(path)
