"""Download one file from the first mirror that gives the right content.

pooch checks the SHA-256 of what came and only then renames it into place; requests, the HTTP client, comes with pooch.
"""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .files import gunzip

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16


def fetch(urls: Sequence[str], destination: Path, sha256: str, *, unpack: bool = False, progress: bool = True) -> Path:
    """Download `destination` from the first of `urls` whose content has the digest `sha256`, and return it.

    With `unpack`, what a mirror gives is gunzipped before the digest is taken: mirrors may compress differently.
    Nothing appears under the name `destination` unless it is complete and right.
    """
    import pooch
    import requests

    def download(url: str, output_file: str, _: object) -> None:
        _http_get(url, Path(output_file), label=destination.name, progress=progress)
        if unpack:
            Path(output_file).write_bytes(gunzip(Path(output_file).read_bytes(), destination))

    pooch.get_logger().setLevel("WARNING")  # its notices would tear the progress bar
    failures = []
    for url in urls:
        try:
            pooch.retrieve(
                url, f"sha256:{sha256}", fname=destination.name, path=destination.parent, downloader=download
            )
            return destination
        except requests.RequestException as error:
            status = "" if error.response is None else f" {error.response.status_code}"
            failures.append(f"{url}: {type(error).__name__}{status}")
        except ValueError:
            failures.append(f"{url}: wrong content (SHA-256)")
        except OSError as error:
            raise UserError(f"{destination}: cannot be written: {error.strerror or error}") from error
    raise UserError(
        f"{destination.name}: no mirror gave it ({'; '.join(failures)}); "
        "download it by other means and name its folder with --data-dir"
    )


def _http_get(url: str, output: Path, *, label: str, progress: bool) -> None:
    """Stream `url` into `output`, with a progress bar on stderr if `progress`."""
    import requests
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:3], DownloadColumn(), TimeRemainingColumn())
    with (
        requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response,
        Progress(*columns, console=Console(stderr=True), disable=not progress) as bar,
        output.open("wb") as file,
    ):
        response.raise_for_status()
        length = response.headers.get("Content-Length")
        task = bar.add_task(label, total=int(length) if length else None)
        for chunk in response.iter_content(CHUNK_BYTES):
            bar.advance(task, file.write(chunk))
