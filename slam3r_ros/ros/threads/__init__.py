"""The node's threads, what passes between them, and what bounds each queue.

    camera topic
        |  executor thread                 `rclpy`'s; runs every callback and computes nothing
        v
    images: DropOldestQueue                at most `image_queue` messages; the oldest is dropped and counted
        |  slam3r_tracking                 TrackingThread; publishes poses, TF and odometry
        v
    work: DropOldestQueue                  1 request; where nothing tracks, at most `image_queue` frames instead
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

**slam3r_tracking** takes every image as soon as it has come. It decodes it, filters timestamps, adds intrinsics, tracks
it and publishes its pose. When the image is to be a keyframe and the mapping thread has none, it puts a request into
the queue. Where the engine cannot track without networks, it prepares and encodes frames for the mapping thread
instead: then it waits for that thread's back-pressure and begins with the newest images when the engine is about to be
free.

**slam3r_mapping** is the only thread that maps. It does one request after the other, and what services ask in between.
Where nothing tracks it takes all frames that wait as one batch, and publishes poses, TF and odometry itself. While the
node is not active the executor thread runs the requests of services.

**slam3r_publishing** makes and publishes large messages, in the order clouds, depth, path, keyframes, map. A queue that
is full drops its oldest message, so the mapping thread never waits for a subscriber.

The engine has background tasks of its own; only the mapping thread takes their results.

- ``loop_thread``: the loop that each of these threads runs: one step after the other, until it is stopped.
- ``drop_oldest_queue``: the bounded queue between two threads.
- ``tracking_thread``: images to frames, and frames to tracking.
- ``mapping_thread``: frames to the map, and requests between frames.
- ``async_publisher``: large messages to topics.
- ``back_pressure``: when the engine will want its next frame.
- ``counters``: counts and rates that the threads write and the status reads.
- ``tuning``: the hand-tuned values of all of them.
"""
