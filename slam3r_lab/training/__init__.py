"""The training of the networks.

What a run does, and with which networks:

- `config`: the configuration of a training run is one value.
- `run`: a run renders its worlds and trains one stage or all, up to weights that the engine can load.
- `embedded_config`: these are the sizes of the networks in this repository, and the weights that training starts from.
- `growth`: a larger network begins as a smaller one that was trained before.
- `export`: the networks are written in the published file format.

From frames on disk to samples:

- `seeds`: every seed of a room belongs to one use, so that no room is both trained on and measured on.
- `rendered_data`: worlds made from seeds are rendered to files.
- `recorded_data`: recorded RGB-D sequences are read as training data.
- `arrays_file`: arrays are kept in one file, with a key that says what they were made from.
- `clips`: clips of some tens of frames are kept in memory, with depth, poses and intrinsics.
- `data`: the training and validation clips of a run are put together.
- `windows`: a sample is some frames of one clip, with the poses that relate them.
- `turned_views`: the camera of a view is turned a little and zoomed by resampling its image.
- `augmentation`: random windows are turned, mirrored and recoloured.
- `token_cache`: the tokens and pointmaps of a finished I2P are computed once for the training of L2W.
- `l2w_samples`: a sample for L2W has imperfect scene frames and keyframes, and the truth.

The stages of training:

- `i2p_stage`: stage one trains I2P to give the pointmaps of a window.
- `correlation_stage`: stage two trains the correlation head, with everything else of I2P frozen.
- `l2w_stage`: stage three trains L2W to register keyframes in the scene frames' scale.
- `losses`: pointmaps are compared with the truth, weighted by their confidence.
- `matching`: some heads of the decoder's cross-attention are taught which patches show the same place.

The loop that the stages share:

- `trainer`: the training loop is time-boxed and resumes exactly where it stopped.
- `optimisation`: the optimiser, its schedule and the moving average of the weights are made here.
- `workers`: several processes train together and average their gradients.
- `logs`: every checkpoint is reported as a line, a row of ``log.csv`` and a picture, and to TensorBoard.
- `pictures`: what a network predicts on fixed validation windows is drawn.
"""
