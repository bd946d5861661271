"""The streaming SLAM engine. The way of a frame, one file a stage:

ring_buffer -> encode -> window -> i2p -> (initialize) -> retrieval -> l2w -> pose -> (tracks -> loops) -> keyframes ->
world_map
"""
