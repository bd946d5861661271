"""The node's threads, what passes between them, and what bounds each queue.

    camera topic
        |  executor thread                 `rclpy`'s; runs every callback and computes nothing
        v
    images: DropOldestQueue                at most `image_queue` messages; the oldest is dropped and counted
        |  slam3r_decoding                 DecodingThread
        v
    ready: DropOldestQueue                 at most `image_queue` frames; the oldest is dropped and counted
        |  slam3r_mapping                  MappingThread
        v
    one TopicQueue for each large topic    100 clouds, 10 depth images, 1 path, 1 list of keyframes, 1 map
        |  slam3r_publishing               AsyncPublisher
        v
    topics

The **executor thread** is the one that starts the node. Image messages go into `images` undecoded; of camera_info the
newest message is kept. Services hand an action to the mapping thread and await its result; the queue of such requests
has no bound, since each caller waits for its answer. Status and diagnostics are made here, from counters and from the
engine's published status.

**slam3r_decoding** waits for the back-pressure of the mapping thread: it begins with the newest images when the engine
is about to be free. It decodes them, filters timestamps, adds intrinsics, crops and encodes.

**slam3r_mapping** is the only thread that maps. It takes all frames that wait as one batch, publishes poses, TF and
odometry itself as soon as the engine emits them, and runs requests between two batches. While the node is not active
the executor thread runs the requests itself.

**slam3r_publishing** makes and publishes large messages, in the order clouds, depth, path, keyframes, map. A queue that
is full drops its oldest message, so the mapping thread never waits for a subscriber.

The engine has background tasks of its own; only the mapping thread takes their results.

- ``loop_thread``: the loop that each of these threads runs: one step after the other, until it is stopped.
- ``drop_oldest_queue``: the bounded queue between two threads.
- ``decoding_thread``: images to frames.
- ``mapping_thread``: frames to the map, and requests between frames.
- ``async_publisher``: large messages to topics.
- ``back_pressure``: when the engine will want its next frame.
- ``counters``: counts and rates that the threads write and the status reads.
- ``tuning``: the hand-tuned values of all of them.
"""
