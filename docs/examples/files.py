"""Files over a connection, each one message that is never held whole.

python files.py serve FOLDER
python files.py put FILE        stores it under its name
python files.py get NAME        writes it to the current folder
"""

import sys
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import anyio
from anyio.abc import TaskStatus

import anyws

#: The server stops here, with code 1009.
MAX_SIZE = 2**30
PIECE = 65536


def find(folder: Path, request: anyws.Request) -> Path | None:
    """Return the path that a request names, if it lies in the folder itself."""
    name = unquote(request.target.rpartition("/")[2])
    path = folder / name
    plain = path.parent == folder and path.name == name and not name.startswith(".")
    return path if plain else None


def check(folder: Path, request: anyws.Request) -> anyws.Response | None:
    """Answer requests that cannot be fulfilled."""
    path = find(folder, request)
    if path is None or not request.path.startswith(("/put/", "/get/")):
        return anyws.Response(404, body="There is nothing here.\n")
    if request.path.startswith("/get/") and not path.is_file():
        return anyws.Response(404, body="There is no such file.\n")
    return None


async def handle(folder: Path, client: anyws.WebSocket) -> None:
    """Store or send the one file that the client asks for."""
    path = find(folder, client.request)
    assert path is not None
    if client.request.path.startswith("/get/"):
        async with await anyio.open_file(path, "rb") as file:
            await client.writer.feed(file, chunksize=PIECE)
        return
    partial_path = path.with_name(f".{path.name}.{id(client)}")
    try:
        async for reader in client.readers():
            await save(reader, partial_path)
            # Only a whole file takes the place of an older one.
            partial_path.replace(path)
            await client.send("stored")
    finally:
        partial_path.unlink(missing_ok=True)


async def save(reader: anyws.WebSocketReader, path: Path) -> None:
    """Write a message to a file while it arrives."""
    async with await anyio.open_file(path, "wb") as file:
        async for data in reader:
            await file.write(data)


async def put(uri: str, path: Path) -> None:
    """Store a file on the server."""
    async with anyws.connect(f"{uri}/put/{quote(path.name)}", compression=None) as websocket:
        async with await anyio.open_file(path, "rb") as file:
            await websocket.writer.feed(file, chunksize=PIECE)
        print(await websocket.receive())


async def get(uri: str, name: str, folder: Path) -> None:
    """Fetch a file from the server."""
    limits = anyws.Limits(message_size=MAX_SIZE)
    async with anyws.connect(f"{uri}/get/{quote(name)}", limits=limits) as websocket:
        async for reader in websocket.readers():
            await save(reader, folder / name)


async def serve_files(
    folder: Path,
    port: int = 8765,
    *,
    task_status: TaskStatus[anyws.Server] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until the server is closed."""
    await anyws.serve(
        partial(handle, folder),
        "127.0.0.1",
        port,
        process_request=partial(check, folder),
        limits=anyws.Limits(message_size=MAX_SIZE),
        # Most files are compressed already.
        compression=None,
        task_status=task_status,
    )


if __name__ == "__main__":
    uri = "ws://127.0.0.1:8765"
    match sys.argv[1:]:
        case ["serve", folder]:
            anyio.run(serve_files, Path(folder).resolve())
        case ["put", path]:
            anyio.run(put, uri, Path(path))
        case ["get", name]:
            anyio.run(get, uri, name, Path.cwd())
        case _:
            sys.exit(__doc__)
