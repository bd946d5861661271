"""Image tracks: corners followed from frame to frame, and the camera's motion that explains them."""
