"""Textures.

`atlas` holds all textures of a world and samples them with filtering. Its images come from two sorts of patterns:

- `patterns`, on `noise`, repeat without a seam; `materials` says which of them, in which colours, a role may have. All
  furnished places and all places outdoors have these. A new pattern belongs here.
- `face_patterns` give each face of a plain room an image of its own. They stay as they are, to the last texel: seeds of
  the family `narrow` name worlds that the shipped weights were trained on and that accuracy is measured on.
"""
