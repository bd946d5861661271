"""The command line ``slam3r_ros``.

- `main`: the subcommands; `play` is in `slam3r_ros.ros.tools`.
- `command_line`: a command line of subcommands, each imported only when it is asked for.
- `run`: maps a source without ROS, into files.
- `view`: a saved map in the browser.
- `map_session`: the map file that `run` writes, or goes on from.
- `info`: what is inside a map file.
- `merge`: one map of two.
- `app`: serves a page in the browser that maps what visitors upload.
- `export`: a map for other programs.
- `film`: a film of a map.
- `map_result`: the map file that a file or a folder names.
- `demo`: plays a source to the real node.
- `demo_page`: the live page while a demo maps.
- `process_guard`: ends the processes of a command with it.
- `demo_results`: picture, glTF and film of a demo's map.
- `demo_report`: the figures of a demo, as text and as a file.
- `trajectory_error`: the absolute trajectory error (ATE) against a true trajectory.
- `figure`: a figure of a map and the trajectory through it.
- `progress`: how far a command is, as one line on the terminal.
"""
