"""What each visitor has for himself: the way his view moves, and the tools in his hand.

- `visitor`: a browser that has the page open.
- `measure_tool`: two clicks show a distance, and its true length sets the scale.
- `removal_tool`: a rectangle deletes points, or all others.
"""
