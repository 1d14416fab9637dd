"""SVG elements of the charts: lines and text, positioned to a tenth of a pixel."""

from xml.sax.saxutils import escape


def stroke(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "", width: float = 1
) -> str:
    """Return a straight line."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", fill: str = "#222"
) -> str:  # fmt: skip
    """Return a text element."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{fill}">{safe(words)}</text>'
    )


def safe(words: str) -> str:
    """Escape text for XML and replace characters that cannot be printed, for which XML has no escape."""
    return escape("".join(c if c.isprintable() else "?" for c in words))
