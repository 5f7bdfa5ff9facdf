"""Puts views, their captions and legends on one picture."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from SACBRegistrationLib.pictures import style

WIDTH = 1600
MARGIN = 20
GAP = 8
_COLORS = 180
_TITLE, _CAPTION, _SMALL = 30, 22, 18
_LETTERS = {
    "Axial": ("R", "L", "A", "P"),
    "Coronal": ("R", "L", "S", "I"),
    "Sagittal": ("A", "P", "S", "I"),
}


@dataclass(frozen=True)
class Tile:
    """One view of a page.

    Attributes:
        pixels: [height, width, 3] of 0 to 255.
        orientation: "Axial", "Coronal" or "Sagittal".
        caption: Line above it.
    """

    pixels: np.ndarray
    orientation: str
    caption: str


@dataclass
class Page:
    """A picture in the making, filled from top to bottom.

    Attributes:
        title: First line.
        subtitle: Second line.
        planes: Orientations that share a row and so have one height.
        mm_per_pixel: Scale of all tiles.
        scale_bar: Length of the bar in the first tile of every row, mm.
    """

    title: str
    subtitle: str
    planes: tuple[str, ...]
    mm_per_pixel: float
    scale_bar: float
    _parts: list[Image.Image] = field(default_factory=list)
    _legend: list[tuple[int, int, int]] = field(default_factory=list)

    def row(self, tiles: list[Tile]) -> None:
        """Adds views side by side."""
        height = max(tile.pixels.shape[0] for tile in tiles)
        top = _CAPTION + 14
        part = _blank(top + height)
        draw = ImageDraw.Draw(part)
        x = (WIDTH - sum(tile.pixels.shape[1] for tile in tiles) - GAP * (len(tiles) - 1)) // 2
        for number, tile in enumerate(tiles):
            part.paste(Image.fromarray(np.ascontiguousarray(tile.pixels)), (x, top))
            draw.text((x + 2, 2), tile.caption, style.TEXT, _font(_CAPTION))
            self._letters(draw, tile, x, top)
            if number == 0:
                self._scale_bar(draw, x, top + tile.pixels.shape[0])
            x += tile.pixels.shape[1] + GAP
        self._parts.append(part)

    def swatches(self, items: list[tuple[str, tuple[float, float, float]]]) -> None:
        """Adds a legend of names and colours, red, green and blue of 0 to 1."""
        part = _blank(2 * _SMALL)
        draw = ImageDraw.Draw(part)
        font = _font(_SMALL)
        widths = [_SMALL + 8 + draw.textlength(name, font) for name, _ in items]
        space = min(36.0, (WIDTH - 2 * MARGIN - sum(widths)) / max(len(items) - 1, 1))
        x = (WIDTH - sum(widths) - space * (len(items) - 1)) / 2
        for (name, color), width in zip(items, widths, strict=True):
            self._legend.append(tuple(round(255 * c) for c in color))
            draw.rectangle((x, 8, x + _SMALL, 8 + _SMALL), self._legend[-1])
            draw.text((x + _SMALL + 8, 5), name, style.TEXT, font)
            x += width + space
        self._parts.append(part)

    def color_bar(self, label: str, colors: np.ndarray, ticks: list[tuple[float, str]]) -> None:
        """Adds a bar of colours.

        Args:
            label: What it says.
            colors: [n, 3] colours of 0 to 1.
            ticks: Place along the bar (0 to 1) and text.
        """
        part = _blank(3 * _SMALL + 6)
        draw = ImageDraw.Draw(part)
        font = _font(_SMALL)
        length, left = 640, WIDTH // 2 - 180
        bar = (255 * colors[None]).round().astype(np.uint8)
        self._legend += [tuple(color) for color in bar[0].tolist()]
        part.paste(Image.fromarray(bar).resize((length, _SMALL), Image.Resampling.NEAREST), (left, 6))
        draw.text((left - 16 - draw.textlength(label, font), 4), label, style.TEXT, font)
        for place, text in ticks:
            x = left + place * length
            draw.line((x, 6 + _SMALL, x, 12 + _SMALL), style.TEXT, 2)
            draw.text((x - draw.textlength(text, font) / 2, 14 + _SMALL), text, style.TEXT, font)
        self._parts.append(part)

    def note(self, text: str) -> None:
        """Adds a line of text.

        Raises:
            ValueError: When it is too long for the page.
        """
        part = _blank(_SMALL + 14)
        draw = ImageDraw.Draw(part)
        if draw.textlength(text, _font(_SMALL)) > WIDTH - 2 * MARGIN:
            raise ValueError(f"the line does not fit on the page: {text}")
        draw.text((MARGIN, 4), text, style.MUTED, _font(_SMALL))
        self._parts.append(part)

    def save(self, path: Path) -> None:
        """Writes the picture as PNG."""
        head = _blank(_TITLE + _SMALL + 34)
        draw = ImageDraw.Draw(head)
        draw.text((MARGIN, 12), self.title, style.TEXT, _font(_TITLE, "bold"))
        draw.text((MARGIN, 20 + _TITLE), self.subtitle, style.MUTED, _font(_SMALL))
        parts = [head, *self._parts, _blank(10)]
        page = _blank(sum(part.height for part in parts))
        y = 0
        for part in parts:
            page.paste(part, (0, y))
            y += part.height
        # Some well chosen colours look the same and take a third of the space. Greys and the legends' colours
        # are among them, however small their part of the page is.
        fixed = [*self._legend, *((grey, grey, grey) for grey in range(3, 256, 12))]
        chosen = page.quantize(_COLORS - len(fixed)).getpalette()
        chosen += [channel for color in fixed for channel in color]
        palette = Image.new("P", (1, 1))
        palette.putpalette(chosen)
        path.parent.mkdir(parents=True, exist_ok=True)
        page.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)

    def _letters(self, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
        height, width = tile.pixels.shape[:2]
        places = ((10, height / 2, "lm"), (width - 10, height / 2, "rm"), (width / 2, 8, "mt"))
        places = (*places, (width / 2, height - 8, "mb"))
        for (dx, dy, anchor), letter in zip(places, _LETTERS[tile.orientation], strict=True):
            draw.text(
                (x + dx, y + dy),
                letter,
                style.TEXT,
                _font(_CAPTION),
                anchor,
                stroke_width=2,
                stroke_fill="black",
            )

    def _scale_bar(self, draw: ImageDraw.ImageDraw, x: int, bottom: int) -> None:
        length = self.scale_bar / self.mm_per_pixel
        draw.line((x + 14, bottom - 14, x + 14 + length, bottom - 14), style.TEXT, 4)
        text = f"{self.scale_bar:g} mm"
        _outlined(draw, (x + 14, bottom - 20), text, _SMALL, "lb")


def _outlined(draw: ImageDraw.ImageDraw, place: tuple, text: str, size: int, anchor: str) -> None:
    draw.text(place, text, style.TEXT, _font(size), anchor, stroke_width=2, stroke_fill="black")


def _blank(height: int) -> Image.Image:
    return Image.new("RGB", (WIDTH, height), style.BACKGROUND)


def _font(size: int, weight: str = "regular") -> ImageFont.FreeTypeFont:
    properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), size)
