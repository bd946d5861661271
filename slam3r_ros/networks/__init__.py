"""The two networks of SLAM3R in plain PyTorch: tensors in, tensors out."""
