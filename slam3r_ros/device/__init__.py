"""The GPU or CPU that the networks run on; it imports nothing else of this package.

- `cuda_stream`: a side stream, on which the next frame is encoded beside the work of the current one.
- `host_transfer`: copies between the memory of the host and that of the device.
- `memory_guard`: the out-of-memory guard, which runs again with smaller batches what does not fit.
- `resize`: Pillow's resizing on a device that Pillow cannot use.
"""
