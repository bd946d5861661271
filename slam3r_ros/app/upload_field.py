"""The page of the upload field, which stands in a frame inside of the panel."""

from __future__ import annotations

from slam3r_ros.app.limits import UploadLimits
from slam3r_ros.app.upload_folder import mebibytes

UPLOAD_FIELD_HEIGHT_PX = 108
"""Height of the frame."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Upload</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root { color-scheme: light; --ink: #1f2933; --soft: #66727f; --line: #c3ccd5; --fill: #f4f7fa;
    --accent: #1c7ed6; --bad: #c92a2a; }
  :root.dark { color-scheme: dark; --ink: #e6e9ed; --soft: #9aa5b1; --line: #4a5560; --fill: #24292f;
    --accent: #4dabf7; --bad: #ff8787; }
  html, body { margin: 0; height: 100%; background: transparent; color: var(--ink);
    font: 13px/1.4 Inter, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  label { box-sizing: border-box; height: 100%; display: flex; flex-direction: column; align-items: center;
    justify-content: center; gap: 4px; padding: 8px 12px; text-align: center; cursor: pointer; overflow: hidden;
    border: 1.5px dashed var(--line); border-radius: 8px; background: var(--fill); transition: border-color .15s; }
  label:hover, label.over, input:focus-visible + .lead { border-color: var(--accent); }
  input { position: absolute; opacity: 0; width: 1px; height: 1px; }
  .lead { font-weight: 600; } .lead b { color: var(--accent); font-weight: 600; }
  .note { color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
  .error .note { color: var(--bad); }
  progress { width: 100%; height: 6px; accent-color: var(--accent); display: none; }
  .busy progress { display: block; } .busy { cursor: progress; }
</style></head><body>
<label id="field"><input id="files" type="file" multiple aria-label="Files to upload">
  <span class="lead" id="lead"><b>Choose files</b> or drop them here</span>
  <progress id="bar" max="1" value="0"></progress>
  <span class="note" id="note">a video, several images, a ZIP of images, or a ROS 2 bag; up to LIMIT</span></label>
<script>
"use strict";
const CHUNK = 1 << 20, AHEAD = 8 * CHUNK;
const field = document.getElementById("field"), input = document.getElementById("files");
const lead = document.getElementById("lead"), note = document.getElementById("note");
const bar = document.getElementById("bar");
const query = new URLSearchParams(location.search);
if (query.has("dark")) document.documentElement.classList.add("dark");
let busy = false;
function show(kind, title, text) {
  field.className = kind; lead.textContent = title; note.textContent = text; note.title = text;
}
function size(bytes) {
  if (bytes < 1e6) return (bytes / 1e3).toFixed(0) + " kB";
  return bytes < 1e9 ? (bytes / 1e6).toFixed(1) + " MB" : (bytes / 1e9).toFixed(2) + " GB";
}
function connect() {
  return new Promise((resolve, reject) => {
    const address = new URL("/upload", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("visitor", query.get("visitor") || "");
    const socket = new WebSocket(address);
    const inbox = [], waiting = [];
    let end = null;
    const wake = () => { while (waiting.length) waiting.shift()(); };
    socket.onmessage = (event) => { inbox.push(JSON.parse(event.data)); wake(); };
    socket.onclose = () => { end = "the connection was lost"; reject(new Error(end)); wake(); };
    socket.onopen = () => resolve({
      send: (data) => { if (socket.readyState === WebSocket.OPEN) socket.send(data); },
      close: () => socket.close(),
      has: () => inbox.length > 0 || end !== null,
      next: async () => {
        while (!inbox.length && end === null) await new Promise((go) => waiting.push(go));
        if (!inbox.length) throw new Error(end);
        const said = inbox.shift();
        if (said.error) throw new Error(said.error);
        return said;
      },
    });
  });
}
async function upload(files) {
  if (busy || !files.length) return;
  busy = true;
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let before = 0;
  try {
    show("busy", "Uploading", "connecting");
    const server = await connect();
    for (const [index, file] of files.entries()) {
      const what = files.length > 1 ? (index + 1) + " of " + files.length + " files" : file.name;
      server.send(JSON.stringify({ name: file.name, size: file.size }));
      let sent = 0, received = 0;
      while (received < file.size || file.size === 0) {
        while (sent < file.size && sent - received < AHEAD && !server.has()) {
          const chunk = await file.slice(sent, sent + CHUNK).arrayBuffer();
          server.send(chunk);
          sent += chunk.byteLength;
        }
        received = (await server.next()).received;
        bar.value = (before + received) / total;
        show("busy", "Uploading " + Math.floor(100 * bar.value) + " %", what + ", " + size(total));
      }
      before += file.size;
    }
    server.send(JSON.stringify({ end: true }));
    show("busy", "Looking at it", files.length > 1 ? files.length + " files" : files[0].name);
    const said = await server.next();
    show("done", "Ready: press Run", said.done);
    server.close();
  } catch (error) {
    show("error", "Try another file", error.message);
  }
  busy = false;
  input.value = "";
}
input.onchange = () => upload([...input.files]);
for (const name of ["dragenter", "dragover"])
  addEventListener(name, (event) => { event.preventDefault(); field.classList.add("over"); });
for (const name of ["dragleave", "drop"])
  addEventListener(name, (event) => { event.preventDefault(); field.classList.remove("over"); });
addEventListener("drop", (event) => upload([...event.dataTransfer.files]));
field.onclick = (event) => { if (busy) event.preventDefault(); };
</script></body></html>
"""
"""A field that files are dropped on, which shows how far the upload is and what came of it."""


def upload_field(limits: UploadLimits) -> str:
    """The page, which names the limit."""
    return _PAGE.replace("LIMIT", mebibytes(limits.total_bytes))
