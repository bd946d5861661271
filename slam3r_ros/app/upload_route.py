"""Uploads through a websocket of their own, from the browser straight into files.

viser's own upload button keeps a whole file in memory, and takes one at a time. Here a browser sends, for each file, a
text message with its name and size and then its bytes in binary messages; the server answers each binary message with
the number of bytes it has, so that the browser never runs ahead by more than a few chunks. At the end the files are
inspected. All text messages are JSON.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from slam3r_ros.app.inspector import Inspector
from slam3r_ros.app.limits import AppTuning, UploadError
from slam3r_ros.app.upload_folder import IncomingFile
from slam3r_ros.app.visitors import Visitor, Visitors

UPLOAD_PATH = "/upload"
"""Where the websocket, and the page of the upload field, are found."""
VISITOR_PARAMETER = "visitor"
"""Name of the visitor's key in the address."""


_LONGEST_HEADER = 4096
"""Characters of a text message that are read."""


class UploadRoute:
    """Answers the websockets of uploads."""

    def __init__(self, visitors: Visitors, inspector: Inspector, tuning: AppTuning | None = None) -> None:
        self._visitors, self._inspector, self._tuning = visitors, inspector, tuning or AppTuning()

    async def __call__(self, connection: ServerConnection) -> None:
        """Receive one upload; the connection is closed at its end."""
        request = connection.request
        query = parse_qs(urlsplit("" if request is None else request.path).query)
        visitor = self._visitors.find(query.get(VISITOR_PARAMETER, [""])[0])
        try:
            if visitor is None:
                raise UploadError("this page is too old: load it again")
            visitor.begin_upload()
            await self._receive_all(connection, visitor)
        except UploadError as error:
            await _answer(connection, error=str(error))
        except ConnectionClosed:  # the visitor has left, or has given the upload up
            return
        await connection.close()

    async def _receive_all(self, connection: ServerConnection, visitor: Visitor) -> None:
        """Receive files until the browser says that there are no more. Raises UploadError and ConnectionClosed."""
        inspector: Inspector | None = None
        try:
            while (header := _Header.of(await self._next(connection))) is not None:
                with visitor.uploads.receive(header.name, header.size) as file:
                    await self._receive(connection, file, header.size)
            inspector = self._inspector
        finally:
            if inspector is None:
                visitor.end_upload(None)
        report = await asyncio.to_thread(visitor.end_upload, inspector)
        await _answer(connection, done="" if report is None else report.summary)

    async def _receive(self, connection: ServerConnection, file: IncomingFile, size: int) -> None:
        while file.received_bytes < size:
            content = await self._next(connection)
            if not isinstance(content, bytes):
                raise UploadError(f"'{file.name}' breaks off after {file.received_bytes} of {size} bytes")
            file.write(content)
            await _answer(connection, received=file.received_bytes)
        file.complete()

    async def _next(self, connection: ServerConnection) -> str | bytes:
        """The next message. Raises UploadError where none comes."""
        limit_s = self._tuning.upload_idle_s
        try:
            return await asyncio.wait_for(connection.recv(), limit_s)
        except asyncio.TimeoutError:
            raise UploadError(f"the upload was given up: nothing has come for {limit_s:.0f} s") from None


class _Header:
    """What the browser says of a file before its bytes."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    @classmethod
    def of(cls, message: str | bytes) -> _Header | None:
        """What a message says; None for the end of all files. Raises UploadError for what is no such message."""
        try:
            said = json.loads(message[:_LONGEST_HEADER])
            if said.get("end") is True:
                return None
            name, size = said["name"], said["size"]
        except (ValueError, AttributeError, KeyError, TypeError):
            name, size = None, None
        if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool):
            raise UploadError("the upload broke off: the browser sent something else than a file")
        return cls(name, size)


async def _answer(connection: ServerConnection, **said: str | int) -> None:
    await connection.send(json.dumps(said))
