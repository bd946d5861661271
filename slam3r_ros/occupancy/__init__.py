"""The occupancy grid of a map: where a robot on wheels can drive, as Nav2 takes it.

- `scan`: what one keyframe's depth says of obstacles and free floor, as the rays of a virtual laser scanner.
- `grid`: all scans together, as the log-odds of cells (Elfes 1989).
- `tuning`: the constants that were tuned by hand.
"""
