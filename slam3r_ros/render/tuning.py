"""Constants of the renderer that were tuned by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenderTuning:
    """How points become a picture, and how large what is drawn between them is."""

    nearest: float = 0.05
    """Distance in front of the camera up to which points are left out, as a share of their median distance."""
    surface_depth: float = 0.02
    """Points behind the nearest one by less than this share of its distance belong to the same surface: their colours
    are averaged."""
    splat_depth: float = 0.1
    """Splats behind the nearest one of the pixels around, by less than this share of its distance, show beside it."""
    levels: int = 6
    """Number of images, each half as large as the one before, into which points are drawn by the size of their splats;
    a splat is 3 pixels wide in its image, thus at most 96 pixels of the largest."""
    hole_px: int = 2
    """Half the width of the gaps in a surface that are closed, in pixels of the picture at 1080 rows."""
    shaded_step: float = 0.15
    """Of the ratio of two neighbours' depths, eye-dome lighting sees no more than that of the natural logarithm."""
    shading_strength: float = 3.5
    """How dark eye-dome lighting makes an edge in depth; 0 turns it off."""
    shading_radius_px: float = 1.6
    """Distance of the neighbours that eye-dome lighting compares, in pixels of the picture at 1080 rows."""
    darkest: float = 0.45
    """Eye-dome lighting takes no more of a colour's light than leaves this share."""
    band_pixels: int = 1 << 20
    """About so many pixels are worked on at once; the arrays of that many fit into a processor's cache."""
    band_step: int = 32
    """The number of rows of such a band is a multiple of this, so that the images of all levels keep their pixels; as
    many rows on both sides are worked on too."""
    splat_overlap: float = 1.5
    """Width of a point's splat as a multiple of its spacing, so that neighbours overlap."""
    largest_spacing: float = 3.0
    """A spacing that is larger than the cloud's median by this factor counts as that factor times the median."""
    lonely_spacing: float = 6.0
    """A point whose spacing is larger than the cloud's median by this factor is noise, and is left out."""
    spacing_neighbours: int = 4
    """The spacing at a point is the distance to this neighbour, the nearest being the first, divided by the square
    root of that number: on a surface as many neighbours lie within a disc of that radius."""
    flying_bend: float = 0.1
    """A pixel lies on the edge of a surface where the inverse depth bends by more than this share of itself."""
    normal_px: int = 2
    """Normals are those of the plane through the pixels so far away on both sides in the depth image."""
    back_side: float = 0.08
    """A surface is seen from behind where the cosine between its normal and the direction of view is above that; since
    normals are not exact, it is more than 0."""
    line_piece_px: float = 12.0
    """Length of the pieces of a line that are hidden by points or not as a whole, in pixels of the picture."""
    most_line_pieces: int = 400
    """A line has no more pieces than that."""
    hidden_share: float = 0.25
    """How much of a line's colour is seen where it is hidden behind points."""
    hidden_depth: float = 0.03
    """A line is hidden where it is behind the points by more than this share of their distance."""


TUNING = RenderTuning()
