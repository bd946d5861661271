"""The panels beside the map, which all visitors share.

- `status_panel`: state with its reason, rates, drops, latency, memory, scale.
- `display_panel`: what is shown, and in which colours.
- `timeline_panel`: the keyframes one after the other.
- `map_panel`: pause, save, new map, downloads.
- `film_panel`: films to take away.
- `camera_panel`: the newest keyframe's image, depth and confidence.
"""
