"""The app: a page with nothing on it, to which visitors bring a video, images or a bag, and take away a map.

What comes in:

- `limits`: how much a visitor may bring along, and how long the app waits.
- `file_names`: names of uploaded files, made safe.
- `upload_folder`: the folder of one visitor's files, which counts what comes in.
- `archive`: ZIP archives of images.
- `inspection`: what the files of an upload are.
- `upload_report`: what the inspection finds.
- `inspector`: the process that inspects, within bounds.

What is done with it:

- `run_settings`: the settings of a run.
- `messages`: what passes between the page's process and the one that maps.
- `map_process`: the process that maps.
- `runs`: a run, how far it is and what came of it.
- `run_manager`: which runs are worked on, and which wait.
- `scratch`: the folder in which everything is.

What visitors see:

- `app_server`: the server of the pages, the door of this folder.
- `visitors`: each visitor's files, run and map.
- `app_page`: one browser's page.
- `upload_route`: uploads through a websocket of their own.
- `upload_field`: the field that files are dropped on.
- `run_panel`: choose a source, set, run, stop.
- `settings_form`: the settings of a run as fields.
- `visitor_actions`: what a visitor can do to the map once it is made.
"""
