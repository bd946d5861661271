"""What stands where: `site` (a floor plan that fills up), `furniture` and `street` (compounds of parts), `rooms` and
`outdoors` (places), `decoration` (walls, ceilings, small things), `furnished` (the world of a seed).
"""
