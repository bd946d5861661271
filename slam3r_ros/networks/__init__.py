"""The two networks of SLAM3R in plain PyTorch: tensors in, tensors out.

- `interfaces`: what the engine asks of its two networks.
- `image_to_points`: Image-to-Points (I2P), the pointmaps of a window in the camera of its reference.
- `local_to_world`: Local-to-World (L2W), the registration of keyframes' pointmaps in the map.
- `decoder`: the multi-view decoder of both, with its heads for points and confidence.
- `blocks`: transformer blocks of encoder and decoder, and layer-0 activations.
- `rotary`: two-dimensional rotary position embedding.
- `attention`: attention by a backend that is chosen by name.
- `graph_capture`: CUDA graphs of calls whose shapes repeat.
- `cpu`: how a process that computes on the CPU is set up.
- `config`: the sizes of a network, from its ``config.json``.
- `hub`: finding weights by name, in this package, in a directory or on the Hugging Face hub.
- `weights`: checking, loading and saving weights.
- `published_names`: the names of tensors in published weights and here.
- `recommended_settings`: the settings that a set of weights recommends, from its ``settings.yaml``.
- `errors`: the error of weights that cannot be used.
"""
