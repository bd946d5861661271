"""The live page in the browser: the map as it grows, fed by the engine's events, the node's topics or a saved file.

What is shown, without a server:

- `map_model`: the map: keyframes, path, live camera, loops, state; feeders write it, the page reads snapshots of it.
- `chunk`: the points of one keyframe and its camera.
- `pixel_order`: an order of pixels of which every beginning covers the image.
- `path`: the camera's path, in pieces.
- `map_status`: state and counters beside the map.
- `display_settings`: what visitors choose to see.
- `extent`: the map's size, its floor, and quantiles of its confidences.
- `point_budget`: how finely each keyframe is drawn.
- `colouring`: colours of points, depths and confidences.
- `picking`: what a click or a rectangle hits.
- `following`: where a view goes that follows the camera.
- `map_actions`: what the buttons do.

What browsers get:

- `map_page`: the page, the door of this folder: a `MapModel` shown at a `PageAddress`.
- `map_view`: map and panels on one place of viser, a server or one browser.
- `saved_map`: a map file on the page.
- `export_map`: a map file as files to take away.
- `exporter`: the process that makes them, and films.
- `child_process`: a process of our own that answers requests.
- `page_server`: viser's web server, made safe.
- `level_of_detail`: a script that keeps the page fluent where there is no GPU.
- `page_guard`: who may open the page.
- `page_arguments`: --host, --port and --token.
- `scene`: the map as nodes of viser's scene.
- `panels`: the panels beside the map.
- `visitors`: what each visitor has for himself.

- `tuning`: the hand-tuned values, together.
"""
