"""Dense depth of the whole image of a keyframe from several posed images (multi-view stereo).

`posed_view` is an image with its camera and pose, and `partners` chooses the images to compare with, by overlap and
parallax. `plane_sweep` (Collins 1996) compares the keyframe with them at planes of equal inverse depth, `semi_global`
(Hirschmueller 2008) makes a depth image of these costs, `alignment` corrects the partners' poses by the images
themselves, and `refinement` moves every pixel along its epipolar lines to a fraction of a pixel. `estimation` is all
that together, with a standard deviation for each pixel; `tuning` holds its constants. `epipolar_check`
leaves out partners whose poses contradict the images, `consistency` compares the depth images of neighbouring
keyframes, `edges` keeps depth edges sharp, and `prior` fills in the networks' depths where parallax tells nothing.
`keyframe_depths` is the order in which a stream of keyframes goes through all that.
"""
