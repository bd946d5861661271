"""The script that keeps the page fluent: fewer points are drawn while the picture changes, all of them once it rests.

A browser without a GPU draws a million points about once a second. The points of a keyframe lie in an order of which
every beginning covers the whole image (`pixel_order`), so that the first part of each cloud is the map in less detail.
While frames follow one another the script measures how long they take, and draws so large a part that they come at the
rate that is wanted; the points are wider meanwhile, so that surfaces stay closed. When nothing has changed for a moment
one frame has all points. Nothing is sent anew for that.

A browser that draws in software is told by the name of its renderer. It gets no multisampling, and while the picture
changes half of the pixels in each direction: then its work is in the pixels as much as in the points.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from slam3r_ros.viewer.tuning import DrawingTuning

_SCRIPT = """(() => {
  const TUNING = /*TUNING*/;
  const SOFTWARE = /swiftshader|llvmpipe|softpipe|lavapipe|software|basic render/i;
  const state = window.slam3rDrawing = {share: 1, isWhole: true, drawn: 0, points: 0, isSoftware: false, frames: 0,
    isCoarse: false, isMeasured: false};
  const getContext = HTMLCanvasElement.prototype.getContext;

  const probe = document.createElement("canvas");
  const context = getContext.call(probe, "webgl2") || getContext.call(probe, "webgl");
  if (context === null) return;
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  state.isSoftware = SOFTWARE.test(String(name));
  const lose = context.getExtension("WEBGL_lose_context");
  if (lose) lose.loseContext();
  if (state.isSoftware) {
    HTMLCanvasElement.prototype.getContext = function (kind, options) {
      const plain = String(kind).startsWith("webgl") ? {...options, antialias: false} : options;
      return getContext.call(this, kind, plain);
    };
  }

  let before = 0, begun = 0, average = 0, samples = 0, timer = 0, scene = null, movedBefore = false;
  let ownRatio = 0, setRatio = 0;
  const place = new Float64Array(16);

  /* Whether the camera has another place than at the frame before. */
  function hasMoved(camera) {
    const now = camera.matrixWorld.elements;
    let moved = false;
    for (let number = 0; number < 16; number++) {
      moved = moved || now[number] !== place[number];
      place[number] = now[number];
    }
    return moved;
  }

  /* Follow the rate of the frames: how much of the clouds this frame gets. */
  function decide(camera) {
    const now = performance.now(), gap = now - before, moved = hasMoved(camera);
    const follows = gap <= TUNING.rest_ms || (moved && movedBefore);
    before = now;
    movedBefore = moved;
    if (!follows) { begun = now; samples = 0; average = 0; }
    else if (++samples > TUNING.skipped_frames) average = average ? 0.6 * average + 0.4 * gap : gap;
    if (moved) state.isWhole = false;
    else if (state.isWhole && now - begun > 2 * TUNING.rest_ms && average > TUNING.frame_ms) state.isWhole = false;
    const isFarOff = average > 4 * TUNING.frame_ms;
    if (state.isWhole || !average || (samples % TUNING.frames_per_step && !isFarOff)) return;
    const wanted = average > TUNING.frame_ms ? Math.max(TUNING.frame_ms / average, TUNING.steepest)
      : average < TUNING.fast_ms ? TUNING.growth : 1;
    state.share = Math.min(1, state.share * wanted);
    state.isMeasured = state.isMeasured || wanted < 1 || state.drawn >= 0.9 * TUNING.first_points;
    if (wanted < 1) average = 0;  // it says nothing of what is drawn from now on
  }

  /* Give a cloud its share of points, and their width. */
  function thin(object, share) {
    const total = object.geometry.attributes.position.count, uniforms = object.material.uniforms;
    if (!uniforms || !uniforms.scale) return;
    const count = share < 1 ? Math.ceil(share * total) : total;
    object.geometry.setDrawRange(0, count);
    state.drawn += count;
    const scale = uniforms.scale, widening = Math.min(1 / Math.sqrt(share), TUNING.widening);
    if (scale.value !== object.slam3rScale) object.slam3rOwnScale = scale.value;  // set anew by the page
    scale.value = object.slam3rScale = object.slam3rOwnScale * widening;
  }

  /* Draw with another number of pixels, at once, since the canvas is empty then. */
  function resize(renderer, drawn, camera, ratio) {
    setRatio = ratio;
    renderer.setPixelRatio(ratio);
    renderer.render(drawn, camera);
  }

  function prepare(renderer, drawn, camera) {
    decide(camera);
    const clouds = [];
    drawn.traverseVisible(each => { if (each.isPoints && each.geometry.attributes.position) clouds.push(each); });
    const points = clouds.reduce((sum, cloud) => sum + cloud.geometry.attributes.position.count, 0);
    if (state.isSoftware && !state.isMeasured) state.share = Math.min(1, TUNING.first_points / Math.max(points, 1));
    state.share = Math.max(state.share, Math.min(1, TUNING.least_points / Math.max(points, 1)));
    state.drawn = 0;
    state.points = points;
    state.frames += 1;
    const share = state.isWhole ? 1 : state.share;
    for (const cloud of clouds) thin(cloud, share);
    clearTimeout(timer);
    if (!state.isWhole) timer = setTimeout(rest, TUNING.rest_ms);
    if (!state.isSoftware) return;
    state.isCoarse = !state.isWhole && (state.isCoarse || share < TUNING.coarse_share);
    if (renderer.getPixelRatio() !== setRatio) ownRatio = renderer.getPixelRatio();  // set by the page
    const ratio = state.isCoarse ? ownRatio * TUNING.coarse_ratio : ownRatio;
    if (ratio !== renderer.getPixelRatio()) setTimeout(() => resize(renderer, drawn, camera, ratio), 0);
  }

  /* Nothing has changed for a moment: draw all points once. */
  function rest() {
    state.isWhole = true;
    begun = performance.now();
    if (window.__viserMutable) window.__viserMutable.requestRender();
  }

  /* viser makes its scene when it has loaded, and a new one when it connects again. */
  setInterval(() => {
    const found = window.__viserMutable && window.__viserMutable.scene;
    if (!found || found === scene) return;
    scene = found;
    scene.onBeforeRender = prepare;
  }, TUNING.look_ms);
})();
"""


def drawing_script(tuning: DrawingTuning) -> str:
    """The script, to be put into the page before viser's own."""
    return _SCRIPT.replace("/*TUNING*/", json.dumps(asdict(tuning)))
