"""Textures: `baked` (one image for each face, as the first rooms have it), `noise`, `patterns` (tiles that repeat),
`materials` (which patterns a role may have) and `atlas` (all textures of a world, sampled with filtering).
"""
