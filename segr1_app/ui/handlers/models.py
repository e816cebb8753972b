"""What an admin does about the full models: learn their size, have them downloaded, and see how far that is.

Every method is an endpoint of the API, too.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from segr1_app.models.downloads import Download


class DownloadHandlers:
    """Starts a download and tells of it.

    Every method returns JSON values and raises `SegR1Error` with a sentence for the person who asked.
    """

    def __init__(self, download: Download) -> None:
        self._download = download

    def download_size(self) -> dict[str, int]:
        """How much there is to fetch for the full models.

        Returns:
            {"bytes": their number; 0 when everything is here}.
        """
        return {"bytes": self._download.size()}

    def download_models(self) -> dict[str, Any]:
        """Fetch the full models, or go on with it; the app uses them as soon as they are here.

        Returns:
            As `download_state`.
        """
        self._download.start()
        return self.download_state()

    def download_state(self) -> dict[str, Any]:
        """How far the download is.

        Returns:
            {"state": "idle", "running", "done" or "failed", "done", "total": bytes, "seconds", "trouble"}.
        """
        return asdict(self._download.state)
