"""A sweep as a chart: pages a week against recall and precision, as SVG without dependencies."""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from app.backtest.sweeping import Sweep

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 50, 60
PAGES, RECALL, PRECISION = "#b3261e", "#1b5e9b", "#2e7d32"

Points = Sequence[tuple[float, float | None]]


def svg(sweep: Sweep) -> str:
    """The chart; pages a week on the left scale, recall and precision on the right one."""
    tried = sweep.tried
    most = max([1.0, *(one.card.pages_a_week for one in tried)])
    series: list[tuple[str, str, Points]] = [
        ("pages a week", PAGES, [(o.value, o.card.pages_a_week / most) for o in tried]),
        ("recall", RECALL, [(o.value, o.card.result.recall) for o in tried]),
        ("precision of pages", PRECISION, [(o.value, o.card.result.precision) for o in tried]),
    ]
    across = _scale([one.value for one in tried])
    parts = [*_frame(sweep, most, across), *_legend(series)]
    for _, color, points in series:
        parts += _line(points, color, across)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'
    )


def _scale(values: Sequence[float]) -> Callable[[float], float]:
    low, high = min(values), max(values)
    width = WIDTH - LEFT - RIGHT
    return lambda value: LEFT + (width * (value - low) / (high - low) if high > low else width / 2)


def _down(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def _frame(sweep: Sweep, most: float, across: Callable[[float], float]) -> Iterator[str]:
    name = escape(sweep.axis.name)
    yield f"<title>{name}: pages a week, recall and precision</title>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    for step in range(5):
        share, y = step / 4, _down(step / 4)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{share * most:.2g}", PAGES, "end")
        yield _text(WIDTH - RIGHT + 8, y + 4, f"{share:.0%}", RECALL, "start")
    every = max(1, -(-len(sweep.tried) // 12))
    for one in sweep.tried[::every]:
        yield _text(across(one.value), HEIGHT - BOTTOM + 18, one.text, "#444", "middle")
    yield _text(WIDTH / 2, HEIGHT - 14, name, "#222", "middle")


def _legend(series: Sequence[tuple[str, str, Points]]) -> Iterator[str]:
    for place, (name, color, _) in enumerate(series):
        x = LEFT + place * 190
        yield f'<path d="M{x} 24h22" stroke="{color}" stroke-width="3"/>'
        yield _text(x + 28, 28, name, "#222", "start")


def _text(x: float, y: float, text: str, color: str, anchor: str) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {where}>{escape(text)}</text>"


def _line(points: Points, color: str, across: Callable[[float], float]) -> Iterator[str]:
    """A line through the values that are known, a dot at each."""
    known = [(across(value), _down(share)) for value, share in points if share is not None]
    if known:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
    for x, y in known:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
